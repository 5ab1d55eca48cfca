"""The builds of a model that the catalogue knows, best first for a device, each with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.blueprint import ModelSpec
from orchestrator.core.memory import ASSUMED_CONTEXT, Budget, Fit, Need, Sizes, Window, need_of, sizes_of
from orchestrator.core.quantity import format_size
from orchestrator.plan.builds import is_beyond, same_build, worth


@dataclass(frozen=True, slots=True)
class Variant:
    """A build with what it needs and whether it fits; ``why`` it is where it is. The ``chosen`` one is first."""

    build: str
    need: Need
    fit: Fit
    why: str
    chosen: bool = False

    def __str__(self) -> str:
        return f"{self.build}: {self.need}; {self.why}"


def variants(spec: ModelSpec, budget: Budget | None) -> tuple[Variant, ...]:
    """Those of a model of a blueprint, as the manifest asks for it."""
    window = Window(spec["window"] or ASSUMED_CONTEXT, spec["max_concurrent"] or 1, assumed=not spec["window"])
    return ranked(sizes_of(spec), window, budget, spec["quantization"] or "")


def ranked(sizes: Sizes, window: Window, budget: Budget | None, wanted: str = "") -> tuple[Variant, ...]:
    """All of them; with no ``budget`` nothing is held against any, and the ``wanted`` one goes first. Empty where no size is
    known. None is ``chosen`` where all are impossible."""
    builds = list(dict.fromkeys([*([wanted] if wanted else []), *sizes.builds]))
    known = [(build, need) for build in builds if (need := need_of(sizes, build, window)) is not None]
    fits: list[tuple[str, Need, Fit]] = [(build, need, budget.fit(need) if budget else "fits") for build, need in known]
    order = sorted(fits, key=lambda each: _rank(wanted, *each))
    best = next((build for build, _, fit in order if fit != "never"), "")
    return tuple(
        Variant(build, need, fit, _why(wanted, (build, fit), best, budget), build == best) for build, need, fit in order
    )


def _rank(wanted: str, build: str, need: Need, fit: Fit) -> tuple[object, ...]:
    other = bool(wanted) and not same_build(wanted, build)
    return (fit == "never", other, 0 if fit == "fits" else need.total, -worth(build))


def _why(wanted: str, one: tuple[str, Fit], best: str, budget: Budget | None) -> str:
    build, fit = one
    if fit == "never":
        return "it can never fit"
    tight = f"more than models should take ({format_size(budget.total)})" if fit == "tight" and budget else ""
    if build == best:
        chosen = "the manifest names it" if wanted and same_build(wanted, build) else "the most faithful that fits"
        return f"{chosen}, {tight}" if tight and wanted else tight or chosen
    if tight:
        return tight
    return "16 bits are no better than 8" if is_beyond(build) and not is_beyond(best) else "less faithful"
