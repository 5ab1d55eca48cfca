"""Servers that take memory of cards are reckoned on the cards that they use, apart from the main memory."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.diff import diff
from orchestrator.plan.needs import Startable
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.device import Accelerator
from orchestrator.ports.lifecycle import SetAside
from tests.plan.parts import state
from tests.plan.test_started import GB, desk, device, spec, startable

CARD = Accelerator("card", "cuda", 24 * GB)
SMALL = Accelerator("small", "cuda", 8 * GB)


def vllm(name: str, share: float = 0.9, cards: int = 1, build: str = "q4_k_m") -> list[Startable]:
    return [startable(name, build, SetAside(4096, share=share, cards=cards))]


def test_two_that_take_a_part_of_one_card_each_are_reckoned_on_that_card() -> None:
    """The main memory beside it is no room for them; the cure says what both can have, and helps."""
    here = device(64 * GB, CARD)
    wanted = desk(spec("a"), spec("b"))
    around = Neighbours({}, (), here)
    found = fitted(wanted, {"desk/a": vllm("desk/a"), "desk/b": vllm("desk/b")}, around)
    assert (found["desk/a"].tight, found["desk/b"].why) == ("", "")
    assert found["desk/b"].tight == (
        "its server needs 21.6 GB = 90% of 24.0 GB graphics memory (gpu_memory_utilization), for a need of 3.5 GB = 2.5 GB weights "
        "+ 537 MB cache (4096 tokens) + 479 MB server; models should take at most "
        "1.2 GB (95% of 24.0 GB graphics memory, less 21.6 GB for the server of a): "
        "write server.gpu_memory_utilization: 0.47 for each of a and b"
    )
    halves = {f"desk/{name}": vllm(f"desk/{name}", 0.47) for name in "ab"}
    assert not any(each.tight or each.why for each in fitted(wanted, halves, around).values())


def test_within_a_limit_the_second_is_refused_where_its_card_has_no_room() -> None:
    """However large the limit is: both together are in it, and not on the card."""
    wanted = desk(spec("a"), spec("b"), limit=45 * GB)
    around = Neighbours({}, (), device(64 * GB, CARD))
    found = fitted(wanted, {"desk/a": vllm("desk/a"), "desk/b": vllm("desk/b")}, around)
    assert (found["desk/a"].unfit, found["desk/b"].unfit) == (False, True)
    assert (
        "models may take 1.2 GB (95% of 24.0 GB graphics memory, less 21.6 GB for the server of a)"
        in found["desk/b"].why
    )


def test_one_on_one_of_two_cards_takes_its_part_of_that_one() -> None:
    """Two of them take it of the same card, the first; one that spans both takes it of both."""
    around = Neighbours({}, (), device(64 * GB, SMALL, SMALL))
    wanted = desk(spec("a"), spec("b"))
    found = fitted(wanted, {"desk/a": vllm("desk/a"), "desk/b": vllm("desk/b")}, around)
    assert (found["desk/a"].memory, found["desk/a"].cards) == (7_200_000_000, 1)
    assert (
        "400 MB (95% of 8.0 GB graphics memory of the first card, less 7.2 GB for the server of a)"
        in found["desk/b"].tight
    )
    both = fitted(desk(spec("a")), {"desk/a": vllm("desk/a", cards=2)}, around)["desk/a"]
    assert (both.need, both.tight) == (
        (
            "14.4 GB = 90% of 16.0 GB graphics memory of 2 cards (gpu_memory_utilization), for a need of 4.0 GB = 2.5 GB weights "
            "+ 537 MB cache (4096 tokens) + 958 MB server"
        ),
        "",
    )


def test_more_cards_than_can_be_seen_are_told() -> None:
    """With what to write; it is started all the same, as no sensor may see the others."""
    around = Neighbours({}, (), device(64 * GB, CARD))
    found = fitted(desk(spec("a")), {"desk/a": vllm("desk/a", 0.95, cards=8)}, around)["desk/a"]
    assert found.why == ""
    assert found.tight == (
        "its server spans 8 cards (tensor_parallel_size x pipeline_parallel_size), and 1 can be seen: "
        "write server.tensor_parallel_size: 1 and server.pipeline_parallel_size: 1"
    )


def test_what_may_use_either_memory_is_on_the_card_first() -> None:
    """So a part of the card must leave it its room, whoever stands first in the manifest; beside the part there is the main
    memory."""
    around = Neighbours({}, (), device(64 * GB, CARD))
    there = {"desk/a": vllm("desk/a"), "desk/b": [startable("desk/b")]}
    found = fitted(desk(spec("a"), spec("b")), there, around)
    assert found["desk/b"].tight == ""
    assert found["desk/a"].tight.endswith(
        "19.3 GB (95% of 24.0 GB graphics memory, less 3.5 GB for the server of b): write server.gpu_memory_utilization: 0.8"
    )
    beside = {"desk/a": vllm("desk/a", 0.8), "desk/b": [startable("desk/b")]}
    assert not any(each.tight or each.why for each in fitted(desk(spec("a"), spec("b")), beside, around).values())


def test_what_uses_the_main_memory_only_has_no_room_on_a_card() -> None:
    """And takes none from who uses it."""
    around = Neighbours({}, (), device(4 * GB, CARD))
    main = [startable("desk/b", aside=SetAside(4096, cards=0))]
    found = fitted(desk(spec("a"), spec("b")), {"desk/a": vllm("desk/a"), "desk/b": main}, around)
    assert found["desk/a"].tight == ""
    assert (
        "models should take at most 3.2 GB (80% of 4.0 GB memory and 90% of 24.0 GB graphics memory"
        in found["desk/b"].tight
    )
    assert "graphics memory, less 21.6 GB for the server of a): " in found["desk/b"].tight
    alone = fitted(desk(spec("b")), {"desk/b": main}, around)["desk/b"].tight
    assert (
        "3.2 GB (80% of 4.0 GB memory and 90% of 24.0 GB graphics memory, less 21.6 GB of graphics memory, which it"
        in alone
    )
    within = fitted(
        desk(spec("b"), limit=20 * GB), {"desk/b": [replace(main[0], build="f16", weights=7_700_000_000)]}, around
    )
    assert (
        "models may take 4.0 GB (4.0 GB of main memory are left, less than max_memory_usage leaves)"
        in within["desk/b"].why
    )
    assert fitted(desk(spec("b")), {"desk/b": [startable("desk/b")]}, around)["desk/b"].tight == ""


def test_of_cards_of_which_one_is_fuller_the_parts_of_the_sum_are_told() -> None:
    """As much is free of each as of the fullest."""
    around = Neighbours({}, (), device(64 * GB, SMALL, SMALL))
    there = {"desk/a": vllm("desk/a", 0.5), "desk/b": vllm("desk/b", 0.9, cards=2)}
    told = fitted(desk(spec("a"), spec("b")), there, around)["desk/b"].tight
    assert (
        "models should take at most 7.2 GB (95% of 16.0 GB graphics memory of the first 2 cards, less 4.0 GB for the server "
        in told
    )
    assert "of a, less 4.0 GB that the fullest of them lacks)" in told


def test_a_limit_above_what_there_is_is_told_as_what_there_is() -> None:
    """The sum of the parts is what is compared."""
    around = Neighbours({}, (), device(3 * GB))
    found = fitted(desk(spec("a"), limit=60 * GB), {"desk/a": [startable("desk/a")]}, around)["desk/a"]
    assert "models may take 3.0 GB (3.0 GB memory, all that there is, as max_memory_usage is 60.0 GB)" in found.why


def test_no_share_is_advised_that_its_model_has_no_room_in() -> None:
    """Neither what one leaves beside another, nor half of the card."""
    around = Neighbours({}, (), device(64 * GB, SMALL))
    there = {f"desk/{name}": vllm(f"desk/{name}", build="f16") for name in "ab"}
    found = fitted(desk(spec("a"), spec("b")), there, around)
    assert found["desk/b"].tight.endswith(
        "use a smaller model and a smaller server.gpu_memory_utilization, or start it without a beside it"
    )


def test_a_part_of_a_card_that_others_have_is_told() -> None:
    """Its server would not start; nothing of it runs on the processor."""
    here = device(64 * GB, Accelerator("card", "cuda", 24 * GB, 10 * GB))
    wanted = desk(spec("a"))
    found = fitted(wanted, {"desk/a": vllm("desk/a")}, Neighbours({}, (), here))
    notes = diff(wanted, state(prospects=found, device=here)).notes
    assert [line for line in notes if "free now" in line] == [
        "a 21.6 GB is still to be started, and 10.0 GB of 24.0 GB graphics memory are free now: it does not start without its part"
    ]


@given(
    sizes=st.lists(st.integers(4, 80), min_size=1, max_size=4),
    shares=st.lists(st.tuples(st.floats(0.05, 0.95), st.integers(1, 4)), min_size=1, max_size=4),
)
def test_what_is_told_to_fit_never_exceeds_a_card(sizes: list[int], shares: list[tuple[float, int]]) -> None:
    """Parts of all that are started without a warning, of each card, are no more than the whole of it."""
    names = "abcd"[: len(shares)]
    here = device(1000 * GB, *(Accelerator("card", "cuda", size * GB) for size in sizes))
    there = {f"desk/{name}": vllm(f"desk/{name}", *each) for name, each in zip(names, shares, strict=True)}
    wanted = desk(*map(spec, names), limit=2000 * GB)
    found = fitted(wanted, there, Neighbours({}, (), here))
    for card in range(len(sizes)):
        taken = [
            share for (share, cards), one in zip(shares, found.values(), strict=True) if not one.why and cards > card
        ]
        assert sum(taken) <= 0.95 + 1e-6
