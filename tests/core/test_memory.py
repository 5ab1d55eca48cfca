"""The arithmetic of memory: needs of models, budgets of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.memory import (
    BITS,
    SERVER,
    Budget,
    Memory,
    Need,
    Sizes,
    Window,
    limited,
    need_of,
)
from orchestrator.core.quantity import parse_limit
from orchestrator.graph.sizes import cache_per_token, sizes
from orchestrator.manifest.catalogue.reader import find_model, model_rows
from orchestrator.manifest.spec.model import ModelEntry

PHI = sizes(ModelEntry(alias="phi-4-mini"))
GB = 10**9

SHOWN = {
    "3.5 GB = 2.5 GB weights + 537 MB cache (4096 tokens assumed) + 479 MB server": (
        PHI,
        "q4_k_m",
        Window(assumed=True),
    ),
    "7.3 GB = 2.5 GB weights + 4.3 GB cache (8192 tokens x 4 slots) + 479 MB server": (PHI, "q4_k_m", Window(8192, 4)),
    "5.1 GB = 4.1 GB weights + 537 MB cache (4096 tokens) + 479 MB server": (PHI, "q8_0", Window()),
    "6.0 GB as the manifest says": (Sizes(PHI.builds, PHI.per_token, whole=6 * GB), "q8_0", Window(8192, 4)),
    "2.5 GB = 2.0 GB weights + cache unknown + 479 MB server": (Sizes({"q4_k_m": 2 * GB}), "q4_k_m", Window()),
    "525 MB = 45.9 MB weights + 479 MB server": (sizes(ModelEntry(alias="all-minilm-l6-v2")), "f16", Window(512)),
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_need_prints_its_own_arithmetic(text: str) -> None:
    """Weights, cache and server, and what was assumed or left out."""
    known, build, window = SHOWN[text]
    assert str(need_of(known, build, window)) == text


def test_what_a_server_tells_of_the_weights_goes_before_the_catalogue() -> None:
    """And nothing is said of a model of which nothing is known."""
    told = need_of(PHI, "q4_k_m", Window(), told=3 * GB)
    assert told is not None and told.weights == 3 * GB
    assert need_of(Sizes(), "q4_k_m", Window()) is None
    assert need_of(PHI, "a build that nobody knows", Window()) is None


@pytest.mark.parametrize("row", [row for row in model_rows() if row["kind"] == "chat"], ids=lambda row: row["alias"])
def test_the_needs_of_the_catalogue_are_plausible(row: dict[str, object]) -> None:
    """In 4 bits with 4096 tokens a model takes more than its weights, and less than in 8 bits and twice as much."""
    known = sizes(ModelEntry(alias=str(row["alias"])))
    four, eight = need_of(known, "q4_k_m", Window()), need_of(known, "q8_0", Window())
    assert four is not None and eight is not None
    assert known.builds["q4_k_m"] + SERVER < four.total < eight.total
    # Even where every head has keys and values of its own, a window of 4096 tokens takes no more than 1.7 GB.
    assert 0 < four.cache <= 1_700_000_000
    assert four.total < 2 * known.builds["q4_k_m"] + SERVER + 600_000_000


def test_builds_between_those_of_the_catalogue_lie_between_their_sizes() -> None:
    """Against files that are known: Llama 3.1 8B in llama.cpp's own table, to within 4 %."""
    known = sizes(ModelEntry(alias="llama-3.1-8b"))
    gib = {"q2_k": 2.95, "q3_k_m": 3.74, "q4_k_s": 4.36, "q5_k_m": 5.33, "q6_k": 6.14, "q8_0": 7.95, "f16": 14.96}
    for build, size in gib.items():
        assert known.weights(build) == pytest.approx(size * 2**30, rel=0.04), build


@given(st.sampled_from(sorted(BITS)), st.sampled_from(sorted(BITS)), st.sampled_from(model_rows()))
def test_more_bits_are_never_smaller(one: str, other: str, row: dict[str, object]) -> None:
    """Whatever the model, and whether a size is known or reckoned."""
    known = Sizes({name: size for name, size in find_model(str(row["alias"]))["sizes"].items() if name != "q4_0"})  # type: ignore[index] # it is there, or this test fails
    small, large = sorted((one, other), key=lambda name: BITS[name])
    first, second = known.weights(small), known.weights(large)
    assert first is not None and second is not None and first <= second


windows = st.builds(Window, st.integers(128, 200_000), st.integers(1, 64))


@given(windows, windows)
def test_a_larger_window_never_needs_less(one: Window, other: Window) -> None:
    """Neither by tokens nor by slots."""
    larger = Window(max(one.context, other.context), max(one.slots, other.slots))
    first, second = need_of(PHI, "q4_k_m", one), need_of(PHI, "q4_k_m", larger)
    assert first is not None and second is not None and first.total <= second.total


BUDGETS = {
    "12.8 GB (80% of 16.0 GB memory)": (Memory(16 * GB), None),
    "12.0 GB (75% of 16.0 GB memory)": (Memory(16 * GB, metal=True), None),
    "20.0 GB (80% of 16.0 GB memory and 90% of 8.0 GB graphics memory)": (Memory(16 * GB, 8 * GB), None),
    "5.9 GB (max_memory_usage 6.0 GB, less 80.0 MB for the orchestrator)": (Memory(16 * GB), 6 * GB),
    "7.9 GB (50% of 16.0 GB memory, less 80.0 MB for the orchestrator)": (Memory(16 * GB), 0.5),
    "16.0 GB (16.0 GB memory, all that there is, as max_memory_usage is 99.0 GB)": (Memory(16 * GB), 99 * GB),
    "0 B (max_memory_usage 1.0 MB, less 80.0 MB for the orchestrator)": (Memory(16 * GB), 10**6),
}


@pytest.mark.parametrize("text", BUDGETS)
def test_a_budget_says_where_it_comes_from(text: str) -> None:
    """From the device, or from the manifest; never more than there is."""
    assert str(limited(*BUDGETS[text])) == text


def test_what_never_fits_is_told_from_what_only_should_not() -> None:
    """A limit of the manifest is held; without one, only weights beyond all memory can be called impossible."""
    free = limited(Memory(8 * GB), None)
    assert free.fit(Need(5 * GB)) == "fits"
    assert free.fit(Need(7 * GB, 2 * GB)) == "tight"
    assert free.fit(Need(9 * GB)) == "never"
    assert free.fit(Need(9 * GB, whole=True)) == "never"
    assert limited(Memory(8 * GB), 4 * GB).fit(Need(5 * GB)) == "never"
    assert limited(Memory(8 * GB, 8 * GB), None).fit(Need(11 * GB)) == "fits"  # shared out between both
    assert free.fit(None) == "fits"


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(1, 10**12), st.integers(1, 10**12))
def test_more_memory_never_makes_a_fit_worse(main: int, own: int, more: int, weights: int) -> None:
    """With and without a limit."""
    order = {"fits": 0, "tight": 1, "never": 2}

    def fit(memory: Memory) -> int:
        budget: Budget = limited(memory, None)
        return order[budget.fit(Need(weights, weights // 7, SERVER))]

    assert fit(Memory(main + more, own)) <= fit(Memory(main, own))
    assert fit(Memory(main, own + more)) <= fit(Memory(main, own))


@pytest.mark.parametrize(
    ("written", "read"), [("75%", 0.75), ("100%", 1.0), (0.5, 0.5), ("6GB", 6 * GB), ("6 GiB", 6 * 2**30), (1000, 1000)]
)
def test_a_limit_is_a_size_or_a_share(written: str | float, read: float) -> None:
    """A share stays a ``float``, also where it is whole."""
    found = parse_limit(written)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize("written", ["120%", 1.5, -0.1, "80 percent", True, -5])
def test_what_is_no_limit_is_refused(written: str | float) -> None:
    """With what is accepted."""
    with pytest.raises(ValueError, match="write it like"):
        parse_limit(written)


def test_the_cache_of_a_token_is_keys_and_values_of_all_layers() -> None:
    """Phi-4-mini: 2 x 32 layers x 8 heads x 128 x 2 bytes."""
    row = find_model("phi-4-mini")
    assert row is not None and cache_per_token(row) == 131_072
