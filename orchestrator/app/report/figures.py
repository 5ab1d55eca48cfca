"""The figures of many runs: shares with their intervals, times, tokens, and an estimate beside the cloud alone. Pure.

The estimate says of each figure that cannot be had why; nothing that is not known is taken for 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.app.report.assumed import Assumed
from orchestrator.app.report.tiers import BY_MODEL, NEARBY, NOBODY, SMALL_BELOW, TIERS, NamedModel, Tier, named, tier_of
from orchestrator.app.routing.figures import INTERVAL, Share
from orchestrator.core.served import CLOUD, ServedCall, ServedRun

_MILLION: Final = 1e6
_HOUR_MS: Final = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """What models read and wrote, in so many calls, in so many milliseconds of work."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    ms: float = 0.0

    @classmethod
    def of(cls, calls: Iterable[ServedCall]) -> Tokens:
        """The sum of calls."""
        each = list(calls)
        return cls(
            len(each),
            sum(call.prompt_tokens for call in each),
            sum(call.completion_tokens for call in each),
            sum(call.ms for call in each),
        )

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"calls": self.calls, "prompt": self.prompt, "completion": self.completion, "ms": round(self.ms, 3)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was spent beside what the cloud alone would have cost. ``None`` is what is not known; ``missing`` says why.

    Money is in the unit of the prices. ``spent`` is what models in the cloud cost, ``electricity`` what the device's power did."""

    spent: float | None
    electricity: float | None
    baseline: float | None
    energy_wh: float | None
    baseline_wh: float
    baseline_tokens: tuple[float, float] | None
    missing: tuple[str, ...]

    @property
    def cheaper(self) -> float | None:
        """How many times cheaper than the cloud alone, as far as is known; ``None`` where either is not, or nothing was spent."""
        ours = None if self.spent is None else self.spent + (self.electricity or 0.0)
        return self.baseline / ours if ours and self.baseline is not None else None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "spent": self.spent,
            "electricity": self.electricity,
            "all_cloud": self.baseline,
            "times_cheaper": self.cheaper,
            "energy_wh": self.energy_wh,
            "all_cloud_energy_wh": self.baseline_wh,
            "all_cloud_tokens_a_request": list(self.baseline_tokens) if self.baseline_tokens else None,
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class Figures:
    """Of so many runs. ``by_tier`` has every tier, in the order of ``TIERS``."""

    runs: tuple[ServedRun, ...]
    models: tuple[NamedModel, ...] = ()
    small_below: float = SMALL_BELOW
    by_tier: Mapping[Tier, list[ServedRun]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[Tier, list[ServedRun]] = {tier: [] for tier in TIERS}
        for run in self.runs:
            found[tier_of(run, self.models, self.small_below)].append(run)
        object.__setattr__(self, "by_tier", found)

    def share(self, tier: Tier) -> Share:
        """Of all runs."""
        return Share(len(self.by_tier[tier]), len(self.runs))

    @property
    def local(self) -> Share:
        """Of all runs: answered by a rule or a model nearby, and no call of it went to the cloud."""
        return Share(sum(not run.went_to_cloud for run in self._nearby), len(self.runs))

    @property
    def answered(self) -> int:
        """Runs that a rule, a model or a person answered."""
        return sum(len(runs) for tier, runs in self.by_tier.items() if tier not in NOBODY)

    @property
    def local_of_answered(self) -> Share:
        """The same of those that were answered at all."""
        return Share(self.local.right, self.answered)

    @property
    def touched_cloud(self) -> int:
        """Runs that were answered nearby although a call of theirs went to the cloud: they count as not local."""
        return sum(run.went_to_cloud for run in self._nearby)

    @property
    def _nearby(self) -> list[ServedRun]:
        return [run for tier in TIERS if tier in NEARBY for run in self.by_tier[tier]]

    @property
    def calls(self) -> list[ServedCall]:
        """Of all runs."""
        return [call for run in self.runs for call in run.calls]

    def tokens(self) -> dict[str, Tokens]:
        """By zone; an empty zone is one that was not recorded."""
        zones = sorted({call.zone for call in self.calls})
        return {zone: Tokens.of(call for call in self.calls if call.zone == zone) for zone in zones}

    def times(self, tier: Tier) -> tuple[float, float] | None:
        """The median and the 95th percentile of the whole time, in milliseconds; ``None`` of nothing."""
        times = sorted(run.total_ms for run in self.by_tier[tier])
        return (percentile(times, 0.5), percentile(times, 0.95)) if times else None

    def as_json(self, assumed: Assumed) -> dict[str, Any]:
        """A plain form."""
        tiers = {}
        for tier in TIERS:
            times = self.times(tier)
            tiers[tier] = _share(self.share(tier)) | {"p50_ms": times and times[0], "p95_ms": times and times[1]}
        return {
            "interval": INTERVAL,
            "runs": len(self.runs),
            "answered": self.answered,
            "small_below": self.small_below,
            "tiers": tiers,
            "local": _share(self.local),
            "local_of_answered": _share(self.local_of_answered),
            "answered_nearby_after_the_cloud": self.touched_cloud,
            "tokens": {zone or "not recorded": tokens.as_json() for zone, tokens in self.tokens().items()},
            "tokens_estimated_runs": sum(run.estimated for run in self.runs),
            "estimate": estimate(self, assumed).as_json(),
        }


def estimate(figures: Figures, assumed: Assumed) -> Estimate:
    """What was spent, and what the cloud alone would have cost for the requests that were answered here, one call each. Those that
    were not are no success to set beside an answer of the cloud; what they took here is spent all the same."""
    missing: list[str] = []
    tokens = assumed.cloud_tokens or _usual_tokens(figures)
    price = _baseline_price(figures.models, assumed)
    if price is None:
        missing.append("no price of a model in the cloud is known: --cloud-price IN/OUT")
    if tokens is None:
        missing.append("no model has answered, so a request's tokens in the cloud are not known: --cloud-tokens IN/OUT")
    baseline = None
    if price is not None and tokens is not None:
        baseline = figures.answered * (tokens[0] * price[0] + tokens[1] * price[1]) / _MILLION
    spent = _spent(figures, assumed, missing)
    near_wh = _near_wh(figures, assumed, missing)
    unplaced = sum(not call.zone for call in figures.calls)
    if unplaced:
        missing.append(
            f"where {unplaced} calls were made is not recorded, so what was spent here is not known: --since, --last"
        )
        spent = near_wh = None
    electricity = None if near_wh is None or assumed.kwh_price is None else near_wh / 1e3 * assumed.kwh_price
    if assumed.kwh_price is None:
        missing.append("electricity is in no money: --kwh-price")
    in_cloud = sum(call.zone == CLOUD for call in figures.calls)
    energy = None if near_wh is None else near_wh + in_cloud * assumed.cloud_wh
    return Estimate(
        spent,
        electricity,
        baseline,
        energy,
        figures.answered * assumed.cloud_wh,
        tokens,
        tuple(dict.fromkeys(missing)),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` of an ordered sequence do not exceed (the nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _usual_tokens(figures: Figures) -> tuple[float, float] | None:
    """What the agent's calls to the model that answered took, on average of the runs that a model answered."""
    sums = [Tokens.of(_answering(run)) for tier in BY_MODEL for run in figures.by_tier[tier]]
    sums = [each for each in sums if each.calls]
    if not sums:
        return None
    return sum(each.prompt for each in sums) / len(sums), sum(each.completion for each in sums) / len(sums)


def _answering(run: ServedRun) -> list[ServedCall]:
    """The calls of the agent that answered to the model that did."""
    last = next((call for call in reversed(run.calls) if call.endpoint == run.served_by), None)
    if last is None:
        return []
    return [call for call in run.calls if call.endpoint == last.endpoint and call.subject == last.subject]


def _baseline_price(models: Iterable[NamedModel], assumed: Assumed) -> tuple[float, float] | None:
    """Of the first model in the cloud that has one in the manifest, else what is assumed."""
    priced = (each.price for each in models if each.zone == CLOUD and each.price is not None)
    return next(priced, assumed.cloud_price)


def _spent(figures: Figures, assumed: Assumed, missing: list[str]) -> float | None:
    """What models in the cloud have cost; ``None`` where one of them has no price."""
    total, known = 0.0, True
    for call in figures.calls:
        if call.paid is not None:  # as the budget counted it, also where a model nearby took over after it
            total += call.paid
            continue
        if call.zone != CLOUD:
            continue
        model = named(call.endpoint, figures.models)
        price = (model.price if model else None) or assumed.cloud_price
        if price is None:
            known = False
            missing.append(f"{call.endpoint} has no price: write one in the manifest, or --cloud-price IN/OUT")
        else:
            total += (call.prompt_tokens * price[0] + call.completion_tokens * price[1]) / _MILLION
    return total if known else None


def _near_wh(figures: Figures, assumed: Assumed, missing: list[str]) -> float | None:
    """What the device drew while its models worked; rules take nothing that is worth counting."""
    worked = sum(call.ms for call in figures.calls if call.zone and call.zone != CLOUD)
    if not worked:
        return 0.0
    if assumed.watts is None:
        missing.append("what the device draws is not known: --watts")
        return None
    return worked / _HOUR_MS * assumed.watts


def _share(share: Share) -> dict[str, Any]:
    return {"count": share.right, "of": share.of, "share": share.value, "interval": list(share.interval)}
