"""What is sent fits the window that is served; what cannot fit is left out from its oldest end, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import ContextTooLong
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import Target
from orchestrator.serve.steps.window import Prompt, Window, fit, was_cut, window_of
from tests.serve.scheduler.machine import NOBODY

HEAD, REQUEST = Message("system", "You help."), Message("user", "and now?")


def talk(turns: int, words: int = 20) -> tuple[Message, ...]:
    return tuple(
        Message("user" if turn % 2 == 0 else "assistant", f"{turn} " + "word " * words) for turn in range(turns)
    )


def prompt(history: tuple[Message, ...], **fields: int) -> Prompt:
    return Prompt((HEAD, *history, REQUEST), 1, 1 + len(history), **fields)


def tokens(messages: tuple[Message, ...]) -> int:
    return sum(len(message.encoded()) for message in messages) // 3


windows = st.lists(
    st.builds(Window, st.sampled_from(["a", "b", "c"]), st.none() | st.integers(50, 4000), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda window: window.endpoint,
)
histories = st.builds(talk, st.integers(0, 30), st.integers(0, 40))


@given(histories, windows)
def test_nothing_is_sent_to_a_server_that_would_cut_it(history: tuple[Message, ...], known: list[Window]) -> None:
    """What goes to a server that does not refuse fits it with room for an answer; the request and the system's words are
    never left out, and what stays of the older turns are the newest ones, from a user's message on."""
    try:
        fitting = fit(prompt(history), known)
    except ContextTooLong:
        return
    by_name = {window.endpoint: window for window in known}
    size = sum(len(message.encoded()) for message in fitting.messages)
    for name in fitting.endpoints:
        window = by_name[name]
        assert window.tokens is None or window.refuses or size // 3 + min(256, window.tokens // 4) <= window.tokens
    stays = history[fitting.left_out :]
    assert fitting.messages == (HEAD, *stays, REQUEST)
    assert not fitting.left_out or not stays or stays[0].role == "user"


def test_what_fits_goes_to_every_endpoint_that_can_take_it() -> None:
    """In the order of preference; a window that is not known counts as large enough."""
    known = [Window("small", 100), Window("unknown"), Window("large", 8000)]
    fitting = fit(prompt(talk(10)), known)
    assert (fitting.endpoints, fitting.left_out) == (("unknown", "large"), 0)


def test_only_as_many_turns_go_as_must() -> None:
    """One turn less would not have fit."""
    history = talk(20)
    fitting = fit(prompt(history), [Window("a", 400)])
    assert 0 < fitting.left_out < 20
    assert tokens(fitting.messages) + 100 <= 400
    more = (HEAD, *history[fitting.left_out - 2 :], REQUEST)
    assert tokens(more) + 100 > 400


def test_a_request_that_does_not_fit_alone_is_refused_before_it_is_sent() -> None:
    """With the arithmetic; also where the server would refuse it itself, since there is no doubt."""
    long = Prompt((HEAD, Message("user", "word " * 5000)), 1, 1)
    for refuses in (False, True):
        with pytest.raises(
            ContextTooLong,
            match="about 6266 tokens, with 256 for the answer, does not fit the 2048 tokens that a serves",
        ):
            fit(long, [Window("a", 2048, refuses)])


def test_a_doubt_is_for_the_server_to_judge_where_it_refuses() -> None:
    """Between the low and the high count of its tokens."""
    doubtful = Prompt((Message("user", "word " * 1500),), 0, 0)
    assert fit(doubtful, [Window("a", 2048, refuses=True)]).endpoints == ("a",)
    with pytest.raises(ContextTooLong, match="about 1882, perhaps 2509 tokens, with 256 for the answer, does not fit"):
        fit(doubtful, [Window("a", 2048)])


def test_what_the_manifest_allows_is_no_doubt_of_a_server_that_would_take_more() -> None:
    """Its own refusal comes at its own limit: the manifest's is held to by the careful count, with other words."""
    doubtful = Prompt((Message("user", "word " * 1500),), 0, 0)
    with pytest.raises(ContextTooLong, match="does not fit the 2048 tokens that context_length allows at a") as caught:
        fit(doubtful, [Window("a", 2048, refuses=True, bounded=True)])
    assert "write a larger context_length" in (caught.value.cure or "")
    assert fit(doubtful, [Window("a", 2800, refuses=True, bounded=True)]).endpoints == ("a",)


@pytest.mark.parametrize(
    ("written", "told", "tokens", "bounded"),
    [(1000, None, 1000, True), (1000, 4096, 1000, True), (1000, 1000, 1000, False), (1000, 512, 512, False)],
)
def test_a_limit_is_the_manifests_only_while_the_server_takes_more(
    written: int, told: int | None, tokens: int, bounded: bool
) -> None:
    """What a server says as it loads the model may be less than was written: then its own refusal counts."""
    spec = EndpointSpec("a", Target("x", "http://a/v1", "m"), NOBODY, context=written, bounded=True)
    assert window_of(spec, told) == Window("a", tokens, False, bounded)


def test_functions_and_answers_need_room_too() -> None:
    """A schema of 3,000 bytes is about 1,000 tokens; an answer gets at most a quarter of the window kept free."""
    assert fit(prompt(talk(2)), [Window("a", 1024)]).left_out == 0
    assert fit(prompt(talk(2), offered=2700), [Window("a", 1024, refuses=True)]).left_out == 2
    assert fit(prompt((), answer=100_000), [Window("a", 1024)]).endpoints == ("a",)


@pytest.mark.parametrize(
    ("words", "counted", "cut"),
    [(1000, 600, True), (1000, 1300, False), (1000, 0, False), (1000, 720, False), (40, 5, False), (100, 20, True)],
)
def test_a_cut_prompt_shows_in_the_servers_own_count(words: int, counted: int, cut: bool) -> None:
    """A count well below the number of words; small ones and none prove nothing."""
    assert was_cut([Message("user", "word " * words)], counted) is cut
