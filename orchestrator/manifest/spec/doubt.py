"""Signs that an answer may be wrong, each optional, with its parameters: what an agent hands over for beside faults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from orchestrator.manifest.spec.fields import BY_SHAPE, MAP, TEXT, ModelAlias, Share, Spec

EscalateWord = Literal[
    "error",
    "timeout",
    "requested",
    "schema_invalid",
    "tool_failed",
    "overloaded",
    "low_confidence",
    "abstains",
    "agreement",
    "self_check",
]
Threshold = Annotated[Share | None, Field(examples=["60%"])]
Prompt = Annotated[str | None, Field(min_length=1, max_length=4_000)]


class LowConfidence(Spec):
    """How sure the model was of the words of its answer; costs nothing, and needs a server that tells log-probabilities."""

    threshold: Threshold = None
    """Less is handed over. Without it: as fitted from labelled answers, else 30 %."""
    sure: Annotated[Share | None, Field(examples=["98%"])] = None
    """From here on the answer is kept, and no dearer sign is looked at."""
    measure: Literal["margin", "probability"] = "margin"
    """Of each token of a value: how far it was ahead of the next best one, or how probable it was."""
    quantile: Annotated[Share, Field(examples=["10%"])] = 0.1
    """Which of the answer's tokens counts, the least sure first: `0` is the least sure one, `50%` the middle one."""


class Abstains(Spec):
    """The model says itself that it does not know: it is told in its prompt how; costs nothing."""

    word: Annotated[str, Field(min_length=1, max_length=40, examples=["UNKNOWN"])] = "UNKNOWN"
    """The word that it answers with then. Agents without `output_schema`, or whose schema has a text."""
    field: Annotated[str, Field(min_length=1, max_length=100, examples=["abstain"])] = "abstain"
    """With an `output_schema` that has this property: `true` there says that it does not know."""


class Agreement(Spec):
    """The same is asked several times; for short answers. Costs `samples - 1` more calls."""

    samples: Annotated[int, Field(ge=2, le=9, examples=[3])] = 3
    """How many answers, the first among them."""
    threshold: Threshold = None
    """Where a smaller share of them is as the first, it is handed over. Without it: as fitted, else 60 %."""
    sure: Annotated[Share | None, Field(examples=["98%"])] = None
    """From here on the answer is kept, and no dearer sign is looked at."""
    temperature: Annotated[float, Field(ge=0, le=2, examples=[0.7])] = 0.7
    """How random the further answers are; the first is as the agent's."""
    longest: Annotated[int, Field(ge=1, le=10_000, examples=[200])] = 200
    """Characters; longer answers are never the same in words, and are not asked again."""


class SelfCheck(Spec):
    """The agent's own model is asked whether its answer is right. Costs one more call."""

    threshold: Threshold = None
    """Less is handed over. Without it: as fitted, else 50 %."""
    sure: Annotated[Share | None, Field(examples=["98%"])] = None
    """From here on the answer is kept, and no dearer sign is looked at."""
    prompt: Annotated[Prompt, Field(examples=["Does the answer name a price that is in the list?"])] = None
    """What is asked of the answer, for yes or no. A default exists."""


class Judge(Spec):
    """Another model of the manifest is asked whether the answer is right. Costs one more call, of that model."""

    model: Annotated[ModelAlias, Field(examples=["phi-4-mini"])]
    """Its alias."""
    threshold: Threshold = None
    """Less is handed over. Without it: as fitted, else 50 %."""
    prompt: Annotated[Prompt, Field(examples=["Does the answer name a price that is in the list?"])] = None
    """What is asked of the answer, for yes or no. A default exists."""


class Signs(Spec):
    """Signs of a wrong answer with parameters; they are looked at in this order, the cheapest first, up to the first that
    hands over."""

    abstains: Abstains | None = None
    """The model says that it does not know."""
    low_confidence: LowConfidence | None = None
    """The model was not sure of its words."""
    agreement: Agreement | None = None
    """Asked again, it says something else."""
    self_check: SelfCheck | None = None
    """It finds its own answer wrong."""
    judge: Judge | None = None
    """Another model finds the answer wrong."""


EscalateWhen = list[Annotated[Annotated[EscalateWord, Tag(TEXT)] | Annotated[Signs, Tag(MAP)], BY_SHAPE]]
"""Words, and maps from a sign to its parameters."""


def words_of(when: EscalateWhen) -> list[str]:
    """The words, those of signs with parameters among them, each once and in the order written."""
    words = [word for item in when for word in ([item] if isinstance(item, str) else signs_in(item))]
    return list(dict.fromkeys(words))


def signs_in(signs: Signs) -> list[str]:
    """The signs that are given, the cheapest first."""
    return [name for name in Signs.model_fields if getattr(signs, name) is not None]


def gate_of(when: EscalateWhen) -> dict[str, dict[str, object]]:
    """Each sign with the parameters that are not as usual, the cheapest first; the last one counts that names a sign."""
    found: dict[str, dict[str, object]] = {}
    for item in when:
        if isinstance(item, str):
            if item in Signs.model_fields:
                found.setdefault(item, {})
        else:
            found |= {name: getattr(item, name).model_dump(exclude_defaults=True) for name in signs_in(item)}
    return {name: found[name] for name in Signs.model_fields if name in found}
