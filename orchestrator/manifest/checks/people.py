"""How people are told: addresses that may be used, and a sender where there must be one."""

from __future__ import annotations

from typing import Final

from orchestrator.core.hosts import distance_of_url
from orchestrator.core.template import is_plain
from orchestrator.manifest.checks.template_names import check_names_of
from orchestrator.manifest.checks.texts import check_template
from orchestrator.manifest.inference.draft import Draft

SUBJECT: Final = "deployment"
_WAYS: Final = ("people", "notify")


def check_people(draft: Draft) -> None:
    """Every key of ``deployment.people`` can be meant."""
    people = draft.deployment.people
    at = ("people", "say")
    if not is_plain(people.say) and check_template(draft, people.say, (SUBJECT, at)):
        check_names_of(draft, people.say, (SUBJECT, at), ("approval", "function", "text"))
    webhook, mail = people.notify.webhook, people.notify.email
    if webhook is not None and webhook.url.startswith("http://") and distance_of_url(webhook.url) == "cloud":
        message = "a webhook beyond the local network needs https"
        draft.tell("ORC260", message, (SUBJECT, (*_WAYS, "webhook", "url")), cure="write https://…")
    if mail is not None and mail.sender is None and "@" not in (mail.smtp.user or ""):
        message = "the e-mails to people have no sender"
        draft.tell("ORC260", message, (SUBJECT, (*_WAYS, "email")), cure="add sender: an address")
    if mail is not None and mail.smtp.password is not None and not mail.smtp.starttls:
        message = "a password would be sent in clear"
        draft.tell("ORC260", message, (SUBJECT, (*_WAYS, "email", "smtp", "starttls")), cure="take starttls: false out")
