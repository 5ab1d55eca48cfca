"""What may leave the device: patterns that end, names that mean something, and a price where money is limited."""

from __future__ import annotations

from orchestrator.core.pattern import UnsafePattern, compile_safely
from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.zone import zone_of

SUBJECT = "deployment"


def check_policy(draft: Draft) -> None:
    """Redaction and budgets can be meant."""
    _check_redaction(draft)
    _check_prices(draft)


def _check_redaction(draft: Draft) -> None:
    redaction = draft.deployment.security.redaction
    at = ("security", "redaction")
    for name, pattern in redaction.patterns.items():
        try:
            compile_safely(pattern, whole=True)
        except UnsafePattern as error:
            draft.tell("ORC246", str(error), (SUBJECT, (*at, "patterns", name)))
    known = [*redaction.kinds, *redaction.fields, *redaction.patterns]
    for number, name in enumerate(redaction.refuse):
        if name not in known:
            message = f'"{name}" is nothing that is looked for'
            draft.tell("ORC262", message, (SUBJECT, (*at, "refuse", number)), cure=draft.suggest(name, known))


def _check_prices(draft: Draft) -> None:
    """No price is not a price of 0."""
    budgets = [draft.deployment.escalation.budget, *(agent.budget for agent in draft.agents.values())]
    limited = any(
        amounts.money is not None for each in budgets if each is not None for amounts in (each.per_run, each.per_day)
    )
    for model in draft.models.values():
        at = f"model.{model.alias}"
        far = zone_of(model) == "cloud"
        if limited and far and model.price is None:
            message = f"a budget limits money, and {model.alias} has no price: no price is not a price of 0"
            draft.tell(
                "ORC261", message, (at, ("alias",)), cure="add price: {input: …, output: …}, for a million tokens"
            )
        elif model.price is not None and not far:
            message = f"{model.alias} is not in the cloud, and so its price counts nowhere"
            cure = "write zone: cloud where what it is asked leaves, else take it out"
            draft.add(warning("ORC263", message, draft.place(at, "price"), "", cure), at)
