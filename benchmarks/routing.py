"""How often routers are right, how often they dare to decide, what they keep, and how long it takes.

Thresholds come from each manifest alone. A traffic is nine parts of requests for somebody and one part for nobody: *far* ones
have nothing to do with any agent, *near* ones ask for skills that no agent of this manifest has. ``kept`` is what is decided and
not left open, ``right of kept`` what of it went to the right agent. Targets that are missed are printed as missed.

    python -m benchmarks routing                        # the small part of the data that lies here
    python benchmarks/routing.py --data DIR             # full sets in DIR, and fresh draws
    python benchmarks/routing.py --encoder ''           # words alone
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, at_least, at_most, median_process, show
from benchmarks.routing_measures import Outcome, best_of_five_nearest, judged, mean, share
from benchmarks.routing_sets import FEW, FEW_SHOT_SETS, Task, few_shot, manifests, reworded
from orchestrator.core.errors import DeployError
from orchestrator.plugins.encoders.local import LocalEncoder, open_local
from orchestrator.plugins.strategies.calibration import USUAL
from orchestrator.plugins.strategies.cascade import InstantCascade, fit_cascade
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.plugins.strategies.semantic import Semantic, fit_semantic
from orchestrator.ports.encoder import Encoder
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

SEEDS = range(5000, 5010)
FEW_SHOT_SEEDS = (0, 1, 2)
FEW_SHOT_TARGETS = {"clinc150": 91.0, "banking77": 86.5, "hwu64": 82.0}


class Remembering:
    """An encoder that is asked once for each text. It fits the port ``Encoder``."""

    def __init__(self, inner: LocalEncoder) -> None:
        self.inner = inner
        self._known: dict[str, Sequence[float]] = {}

    @property
    def name(self) -> str:
        """Of the encoder."""
        return self.inner.name

    def encode(self, text: str) -> Sequence[float]:
        """The vector of a text."""
        if text not in self._known:
            self._known[text] = self.inner.encode(text)
        return self._known[text]

    def read_of(self, text: str) -> int:
        """How many characters of the text are read."""
        return self.inner.read_of(text)

    def known_share(self, texts: Sequence[str]) -> float:
        """Of its vocabulary."""
        return self.inner.known_share(texts)


def main(words: Sequence[str] = ()) -> None:
    """Print all figures. ``words`` are options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with the full sets; xSID is read from there only")
    parser.add_argument("--encoder", default="minilm", help="minilm, a folder, or '' for words alone")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        encoder = _encoder(asked.encoder, Path(folder))
        for title, tasks in manifests(asked.data, SEEDS).items():
            _print(f"realistic manifests, {title}: 8 agents x 4 skills x 3 examples", _manifests(tasks, encoder))
        _print(f"public sets, {FEW} examples an intent", _public(asked.data, encoder))
        if asked.data is not None:
            _print(f"Italian: xSID, {FEW} examples an intent, seeds {FEW_SHOT_SEEDS}", _italian(asked.data, encoder))
        _print("requests that are worded unlike the examples", _reworded(asked.data, encoder))
        _print("CPU time of a decision, one core", _times(encoder))
        if encoder is not None:
            _print("a process from its start to its first vector", _cold(asked.encoder, Path(folder)))


def _encoder(name: str, folder: Path) -> Remembering | None:
    if not name:
        return None
    try:
        return Remembering(open_local(name, folder))
    except DeployError as error:
        print(f"no encoder, so that its figures are left out: {error.message} ({error.cure})")
        return None


def _print(title: str, rows: Iterator[Row]) -> None:
    print(f"\n{title}")
    show(rows)


def _stages(candidates: tuple[Candidate, ...], encoder: Encoder | None) -> dict[str, Instant]:
    """Each stage alone, and the cascade as a router with an encoder has it."""
    options = StrategyOptions(encoder=encoder, stages=("lexical", "semantic"))
    found: dict[str, Instant] = {"lexical": fit_lexical(candidates, options)}
    if encoder is not None:
        cascade = fit_cascade(candidates, options)
        assert isinstance(cascade, InstantCascade)
        found |= {"semantic": _semantic(candidates, encoder), "cascade": cascade}
    return found


def _semantic(candidates: tuple[Candidate, ...], encoder: Encoder) -> Semantic:
    fitted = fit_semantic(candidates, StrategyOptions(encoder=encoder))
    assert isinstance(fitted, Semantic)
    return fitted


def _manifests(tasks: Sequence[Task], encoder: Encoder | None) -> Iterator[Row]:
    outcomes: dict[str, list[Outcome]] = {}
    for task in tasks:
        for name, stage in _stages(task.candidates, encoder).items():
            outcomes.setdefault(name, []).append(judged(stage.decide_now, task))
    yield from _of_words(outcomes["lexical"])
    if encoder is not None:
        yield from _of_meaning(outcomes["semantic"])
        yield from _of_cascade(outcomes["cascade"])


def _of_words(found: list[Outcome]) -> Iterator[Row]:
    yield at_least("1 lexical: accuracy", 100 * mean(found, lambda one: one.accuracy), "%", 90)
    yield Row("  lexical: the right one among the first three", 100 * mean(found, lambda one: one.top_three), "%")
    yield from _kept("  lexical", found, (0, 0))
    yield Row("  lexical: error of confidence, far", mean(found, lambda one: one.error_of_confidence(one.far)), "")


def _of_meaning(found: list[Outcome]) -> Iterator[Row]:
    yield at_least("1 encoder: accuracy", 100 * mean(found, lambda one: one.accuracy), "%", 97.5)
    yield at_least("1 encoder: among the first three", 100 * mean(found, lambda one: one.top_three), "%", 99.5)
    yield from _kept("2 encoder", found, (97, 95))
    yield at_least("2 encoder: kept, far", 100 * mean(found, lambda one: one.kept(one.far)), "%", 85)
    yield at_least("4 encoder: told apart (AUROC), far", mean(found, lambda one: one.told_apart(one.far)), "", 0.975)
    yield at_least("4 encoder: told apart (AUROC), near", mean(found, lambda one: one.told_apart(one.near)), "", 0.93)
    yield at_most("4 encoder: far ones above 95 %", mean(found, lambda one: one.passed_at_95(one.far)), "", 0.12)
    yield at_most(
        "6 encoder: error of confidence, far", mean(found, lambda one: one.error_of_confidence(one.far)), "", 0.05
    )
    held = share(one.right_of_kept(one.far) >= USUAL for one in found)
    yield at_least(f"6 encoder: draws with >= {USUAL:.0%} right of kept, far", 100 * held, "%", 90)


def _kept(name: str, found: list[Outcome], targets: tuple[float, float]) -> Iterator[Row]:
    if not targets[0]:
        yield Row(f"{name}: kept, far", 100 * mean(found, lambda one: one.kept(one.far)), "%")
    for what, least, figure in (
        ("far", targets[0], lambda one: one.right_of_kept(one.far)),
        ("near", targets[1], lambda one: one.right_of_kept(one.near)),
    ):
        value = 100 * mean(found, figure)
        title = f"{name}: right of kept, {what}"
        yield at_least(title, value, "%", least) if least else Row(title, value, "%")


def _of_cascade(found: list[Outcome]) -> Iterator[Row]:
    on = 100 * mean(found, lambda one: 1 - one.kept(one.far))
    yield at_most("3 lexical, then encoder: left to a small model", on, "%", 15)
    inside = 100 * mean(found, lambda one: 1 - one.kept_inside)
    yield at_most("3 lexical, then encoder: of the requests for somebody", inside, "%", 6)
    kept = 100 * mean(found, lambda one: one.right_of_kept(one.far))
    yield at_least("3 lexical, then encoder: right of kept, far", kept, "%", 97)


def _public(folder: Path | None, encoder: Encoder | None) -> Iterator[Row]:
    seeds = FEW_SHOT_SEEDS if folder is not None else FEW_SHOT_SEEDS[:1]
    for name in FEW_SHOT_SETS:
        tasks = [few_shot(folder, name, seed) for seed in seeds]
        yield Row(f"  {name}: lexical", 100 * _accuracy(tasks, lambda one: fit_lexical(one, StrategyOptions())), "%")
        if encoder is not None:
            ours = 100 * _accuracy(tasks, partial(_semantic, encoder=encoder))
            theirs = 100 * statistics.fmean(_nearest_five(task, encoder) for task in tasks)
            yield at_least(f"5 {name}: encoder (seeds {', '.join(map(str, seeds))})", ours, "%", FEW_SHOT_TARGETS[name])
            yield Row(f"  {name}: the default of semantic-router, same vectors", theirs, "%")
            yield at_least(f"5 {name}: encoder, above it", ours - theirs, "points", 6)


def _accuracy(tasks: Sequence[Task], fit: Callable[[tuple[Candidate, ...]], Instant]) -> float:
    return mean([judged(fit(task.candidates).decide_now, task) for task in tasks], lambda one: one.accuracy)


def _nearest_five(task: Task, encoder: Encoder) -> float:
    import numpy as np

    rows = [(candidate.name, text) for candidate in task.candidates for text in candidate.examples]
    vectors = np.array([encoder.encode(text) for _, text in rows])
    wanted = {text: encoder.encode(text) for text, _ in task.requests}
    chosen = best_of_five_nearest(vectors, [name for name, _ in rows], wanted)
    return share(chosen[text] == label for text, label in task.requests)


def _italian(folder: Path, encoder: Encoder | None) -> Iterator[Row]:
    tasks = [few_shot(folder, "xsid_it", seed) for seed in FEW_SHOT_SEEDS]
    words = 100 * _accuracy(tasks, lambda one: fit_lexical(one, StrategyOptions()))
    yield at_least("8 xSID-it: lexical", words, "%", 88)
    if encoder is not None:
        both = 100 * _accuracy(tasks, partial(_semantic, encoder=encoder))
        yield at_least("8 xSID-it: English encoder, against lexical", both - words, "points", -1)


def _reworded(folder: Path | None, encoder: Encoder | None) -> Iterator[Row]:
    for language in ("en", "it"):
        task = reworded(folder, language)
        for name, stage in _stages(task.candidates, encoder).items():
            one = judged(stage.decide_now, task)
            title = f"edge-{language}: {name}"
            yield Row(f"  {title}: accuracy", 100 * one.accuracy, "%")
            yield at_least(f"10 {title}: right of kept, far", 100 * one.right_of_kept(one.far), "%", 95)
            kept = 100 * one.kept_inside
            wanted = language == "en" and name != "lexical"
            yield (
                at_least(f"10 {title}: kept of the requests for somebody", kept, "%", 25)
                if wanted
                else Row(f"   {title}: kept of the requests for somebody", kept, "%")
            )


def _times(encoder: Remembering | None) -> Iterator[Row]:
    """10 agents x 10 examples, texts that come for the first time; CPU time, as others use the machine too."""
    task = few_shot(None, "clinc150", 0)
    ten = task.candidates[:10]
    texts = [text for text, _ in task.requests]
    lexical = fit_lexical(ten, StrategyOptions())
    assert isinstance(lexical, Lexical)
    middle, late = _microseconds(lexical, texts)
    yield at_most("7 lexical, 10 agents x 10 examples: p50", middle / 1000, "ms", 0.25)
    yield Row("  lexical: p99", late / 1000, "ms")
    if encoder is not None:
        middle, late = _microseconds(_semantic(ten, encoder.inner), texts)
        yield at_most("7 encoder: p50", middle / 1000, "ms", 2)
        yield Row("  encoder: p99", late / 1000, "ms")


def _cold(name: str, folder: Path) -> Iterator[Row]:
    """The encoder's file is written already, as at every start but the first."""
    first = "import sys, pathlib; from orchestrator.plugins.encoders.local import open_local; "
    first += "open_local(sys.argv[1], pathlib.Path(sys.argv[2])).encode('where is my order')"
    spent = median_process([sys.executable, "-c", first, name, str(folder)])
    bare = median_process([sys.executable, "-c", "pass"])
    yield at_most("7 encoder: cold start, CPU, Python's own left out", spent.cpu - bare.cpu, "s", 0.25)
    yield Row("  encoder: cold start, wall", spent.wall, "s")
    yield at_most("7 encoder: peak memory of the process", spent.peak_mb, "MB", 110)


def _microseconds(stage: Instant, texts: Sequence[str]) -> tuple[float, float]:
    taken = []
    for text in texts:
        question = RouteQuestion(text)
        began = time.thread_time()
        stage.decide_now(question)
        taken.append((time.thread_time() - began) * 1e6)
    return statistics.median(taken), sorted(taken)[int(len(taken) * 0.99)]


if __name__ == "__main__":
    main(sys.argv[1:])
