"""What may leave the device, and what it may cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.manifest.spec.fields import Name, Spec

PersonalKind = Literal["email", "card", "iban", "phone"]
Money = Annotated[float, Field(ge=0, le=1e9, examples=[2.5])]


class Price(Spec):
    """What a model in the cloud costs, in money for a million tokens; every price of a manifest in the same currency."""

    input: Annotated[Money, Field(examples=[0.25])]
    """Of what it reads."""
    output: Annotated[Money, Field(examples=[2.0])]
    """Of what it writes."""


class Amounts(Spec):
    """The most that may be spent; what is not written is not limited."""

    tokens: Annotated[int | None, Field(ge=0, le=10**15, examples=[200_000])] = None
    """Tokens, read and written together."""
    money: Annotated[Money | None, Field(examples=[2.5])] = None
    """Money, in the currency that prices are written in. Each model in the cloud needs a `price` then."""
    calls: Annotated[int | None, Field(ge=0, le=10**12, examples=[50])] = None
    """Calls, each retry for itself."""


class Budget(Spec):
    """What may be spent in the cloud. It is set aside before each call, as if the answer were as long as it may be, and settled by
    what the server tells; what was set aside when the runtime was killed counts as spent."""

    per_run: Amounts = Amounts()
    """By one request."""
    per_day: Amounts = Amounts()
    """From midnight to midnight, UTC."""


class Redaction(Spec):
    """What is replaced by placeholders before anything goes to a model in the cloud, and put back in its answer."""

    cloud: bool = True
    """Whether it is done."""
    kinds: Annotated[list[PersonalKind], Field(examples=[["email", "phone"]])] = ["email", "card", "iban", "phone"]
    """What is looked for."""
    fields: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(examples=[["patient", "tax_code"]])
    ] = []
    """Names of fields whose value is replaced, whatever it is: in JSON, in lines like `patient: …`, in YAML and XML."""
    patterns: Annotated[
        dict[Name, Annotated[str, Field(min_length=1, max_length=1000)]], Field(examples=[{"case": r"CASE-\d{4,8}"}])
    ] = {}
    """Regular expressions of your own, each with a name."""
    refuse: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(examples=[["card"]])] = []
    """Kinds, fields and patterns that are not replaced: what holds one of them is not sent at all (ORC550)."""
