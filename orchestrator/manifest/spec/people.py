"""What waits for people: for how long, how much of it, and how people are told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.manifest.spec.fields import CALLABLE, Duration, Name, SecretReference, Spec
from orchestrator.manifest.spec.tool import Smtp

Text = Annotated[str, Field(max_length=10_000)]
WebAddress = Annotated[
    str,
    Field(
        pattern=r"^(https?://[^\s]{1,2000}|env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.{1,1024}|keyring:.{1,256})$",
        examples=["https://chat.example.org/hook", "env:HOOK_URL"],
    ),
    CALLABLE,
]
MailAddress = Annotated[
    str,
    Field(max_length=254, pattern=r"^[^@\s<>,;:]{1,64}@[A-Za-z0-9.-]{1,190}$", examples=["desk@example.org"]),
]


class Webhook(Spec):
    """A POST to an address, with the approval's id and what it is for; no word of the request."""

    url: WebAddress
    """Where to; `https` beyond the local network. Where the address itself is a secret: a reference to it."""
    secret: Annotated[SecretReference | None, Field(examples=["env:HOOK_SECRET"])] = None
    """Signs the body: the header `x-orchestrator-signature` is `sha256=` and the HMAC-SHA-256 in hex."""


class NoticeMail(Spec):
    """A mail to the people who decide, with the approval's id and what it is for; no word of the request."""

    to: Annotated[list[MailAddress], Field(min_length=1, max_length=50, examples=[["desk@example.org"]])]
    """To whom."""
    sender: Annotated[MailAddress | None, Field(examples=["assistant@example.org"])] = None
    """Who sends; the `user` of `smtp` where that is an address."""
    smtp: Smtp
    """The mail server."""


class Notify(Spec):
    """How people are told that something waits. Without it, they look: `orchestrator approvals list`."""

    webhook: Webhook | None = None
    """By a webhook."""
    email: NoticeMail | None = None
    """By e-mail."""


class People(Spec):
    """What waits for people: questions that an escalation puts to a person, and calls that need an approval."""

    queue: Annotated[Name, Field(examples=["front-desk"])] = "front-desk"
    """Whose queue calls wait in; questions wait in that of their agent."""
    expires: Annotated[Duration, Field(examples=["4h"])] = 86_400.0
    """How long something waits; then it was not done, and the run fails with ORC541."""
    most_waiting: Annotated[int, Field(ge=1, le=100_000, examples=[200])] = 1_000
    """How many things may wait at once; more are refused with ORC542."""
    say: Annotated[Text, Field(examples=["A colleague looks at it first; the number is {{ approval }}."])] = ""
    """What the user is told while a call waits; a Jinja2 template over `approval`, `function` and `text`. A default exists."""
    notify: Notify = Notify()
    """How people are told."""
