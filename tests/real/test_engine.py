"""The whole engine on real llama.cpp servers: routes, streams, ends, breaks, and what the servers say of it themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from orchestrator.app.api import Opened
from orchestrator.core.request import Result
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.serving import ENDLESS, FRONT_DESK, LONG, opened, tokens_counted_by, until, working, write
from tests.real.tiny_model import TinyModel

pytestmark = pytest.mark.anyio

SPECIALISTS = {"billing", "technical", "sales"}
QUESTIONS = [f"Request {number}: why is my bill {'so ' * number}high?" for number in range(10)]
ONE_AGENT = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
    - {name: clerk, instructions: You talk., model: tiny}
"""


async def streamed(deployment: Opened, text: str, **options: object) -> tuple[str, Result]:
    """All pieces of an answer together, and its result."""
    pieces: list[str] = []
    async with aclosing(deployment.stream(text, **options)) as events:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for event in events:
            if event.kind == "run.delta":
                pieces.append(event.fields["text"])
    assert event.kind == "run.finished"
    return "".join(pieces), event.fields["result"]


# -- routes ---------------------------------------------------------------------------------------------------------


async def test_random_weights_are_held_to_a_route(llama_server: LlamaServers, tmp_path: Path) -> None:
    """Thirty requests on three models: each decision is an agent or an honest abstention, and not always the same."""
    chosen: Counter[str | None] = Counter()
    for seed in (0, 1, 4):
        server = llama_server(TinyModel(seed=seed))
        async with opened(write(tmp_path, FRONT_DESK, tiny=server)) as deployment:
            results = [await deployment.run(question) for question in QUESTIONS]
        for result in results:
            (decision,) = result.decisions
            chosen[decision.choice] += 1
            if decision.choice is None:
                assert (result.status, result.agent) == ("unsure", "")
                assert "none of 3 fits" in decision.why and all(f"- {name}" in result.text for name in SPECIALISTS)
            else:
                assert (result.status, result.agent) == ("completed", decision.choice)
                assert decision.confidence is not None  # the server tells the tokens' probabilities
        server.kill()
    assert chosen.total() == 30
    assert chosen.keys() <= {*SPECIALISTS, None} and len(chosen.keys() - {None}) > 1


async def test_without_the_schema_the_same_model_names_no_agent(tiny_server: LlamaServer) -> None:
    """So that it is the schema which makes the routes valid, and not the model."""
    for question in QUESTIONS:
        said = tiny_server.chat(question, temperature=0, max_tokens=64).json["choices"][0]["message"]["content"]
        assert said.strip() not in SPECIALISTS and '{"agent"' not in said


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_usage_is_what_the_server_counted(llama_server: LlamaServers, tmp_path: Path, in_pieces: bool) -> None:
    """Tokens of prompts and answers over ten requests, as the server's own metrics have them."""
    server = llama_server(TinyModel(seed=1))
    async with opened(write(tmp_path, FRONT_DESK, tiny=server)) as deployment:
        before = tokens_counted_by(server)
        if in_pieces:
            results = [(await streamed(deployment, question))[1] for question in QUESTIONS]
        else:
            results = [await deployment.run(question) for question in QUESTIONS]
        after = tokens_counted_by(server)
    server.kill()
    assert not any(result.usage.estimated for result in results)
    assert sum(result.usage.model_calls for result in results) == 20
    assert sum(result.usage.prompt_tokens for result in results) == after[0] - before[0]
    assert sum(result.usage.completion_tokens for result in results) == after[1] - before[1]


async def test_the_pieces_are_the_answer(tiny_server: LlamaServer, tmp_path: Path) -> None:
    """What is streamed is the text of the result, and with one seed also the text of the whole answer."""
    async with opened(write(tmp_path, ONE_AGENT, tiny=tiny_server)) as deployment:
        for seed in range(5):
            options = {"seed": seed, "max_tokens": 60}
            whole = await deployment.run("Hello there", options=options)
            pieces, result = await streamed(deployment, "Hello there", options=options)
            assert whole.status == result.status == "completed", whole.error or result.error
            assert pieces == result.text == whole.text


# -- ends -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def endless(llama_server: LlamaServers) -> Iterator[LlamaServer]:
    """A server whose answers do not end, with one slot, for one test."""
    server = llama_server(ENDLESS, *LONG, slots=1, context=65536)
    yield server
    server.kill()


async def slot_is_freed(server: LlamaServer) -> None:
    """The server says that it stopped the work, and its slot is idle."""
    await until(lambda: "cancel task" in server.log.read_text(errors="replace"))
    await until(lambda: working(server) == 0)
    assert "eval time" not in server.log.read_text(errors="replace"), "it wrote its answer to the end"


async def test_leaving_a_stream_frees_the_slot(endless: LlamaServer, tmp_path: Path) -> None:
    """The caller stops listening after the first piece; the model server stops writing, and serves the next request."""
    async with opened(write(tmp_path, ONE_AGENT, tiny=endless)) as deployment:
        async with aclosing(deployment.stream("go on")) as events:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
            async for event in events:
                if event.kind == "run.delta":
                    break
        await slot_is_freed(endless)
        result = await deployment.run("again", options={"max_tokens": 5})
    assert result.status == "completed", result.error


async def test_cancelling_a_run_frees_the_slot(endless: LlamaServer, tmp_path: Path) -> None:
    """Also where nothing is streamed."""
    async with opened(write(tmp_path, ONE_AGENT, tiny=endless)) as deployment:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deployment.run, "go on")
            await until(lambda: working(endless) == 1)
            tasks.cancel_scope.cancel()
        await slot_is_freed(endless)


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_deadline_frees_the_slot(endless: LlamaServer, tmp_path: Path, in_pieces: bool) -> None:
    """An agent's `timeout: 300ms` ends the run with what came of it, and the server's work too."""
    manifest = write(tmp_path, ONE_AGENT.replace("You talk.,", "You talk., timeout: 300ms,"), tiny=endless)
    async with opened(manifest) as deployment:
        if in_pieces:
            pieces, result = await streamed(deployment, "go on")
            assert pieces and result.text == pieces
        else:
            result = await deployment.run("go on")
        await slot_is_freed(endless)
    assert result.error is not None and result.error["kind"] == "DeadlinePassed"
    assert 300 <= result.timings["total"] < 3000


async def test_a_context_that_is_too_long_is_told(tiny_server: LlamaServer, tmp_path: Path) -> None:
    """Nothing is cut off in silence: the run fails with a typed error, and the server has written nothing."""
    before = tokens_counted_by(tiny_server)
    async with opened(write(tmp_path, ONE_AGENT, tiny=tiny_server)) as deployment:
        result = await deployment.run("word " * 5000)
    assert result.error is not None and result.error["kind"] == "ContextTooLong"
    assert (result.status, result.text) == ("failed", "")
    assert tokens_counted_by(tiny_server) == before


# -- breaks ---------------------------------------------------------------------------------------------------------


async def killed_after_first_piece(deployment: Opened, server: LlamaServer) -> tuple[str, Result]:
    """Stream, and kill the server with the first piece."""
    pieces: list[str] = []
    async with aclosing(deployment.stream("go on")) as events:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
        async for event in events:
            if event.kind == "run.delta":
                pieces.append(event.fields["text"])
                server.kill()
    return "".join(pieces), event.fields["result"]


async def test_a_server_that_dies_in_mid_stream_leaves_a_typed_error_and_the_text_so_far(
    endless: LlamaServer, llama_server: LlamaServers, tmp_path: Path
) -> None:
    """What was said cannot be taken back; with the server back on its port, the next request is answered."""
    async with opened(write(tmp_path, ONE_AGENT, tiny=endless)) as deployment:
        pieces, result = await killed_after_first_piece(deployment, endless)
        assert result.error is not None and result.error["kind"] == "CutOff"
        assert pieces and result.text == pieces and result.status == "failed"
        gone = await deployment.run("hello", options={"max_tokens": 5})
        assert gone.error is not None and gone.error["kind"] in ("Unreachable", "NoModel"), gone.error
        back = llama_server.again(endless)
        answered = await asked_until(deployment, lambda result: not result.error)
        assert answered.served_by == result.steps[-1].detail["endpoint"]
    back.kill()


async def asked_until(deployment: Opened, fits: Callable[[Result], bool]) -> Result:
    """Ask again and again, for at most 30 s, until a result fits."""
    with anyio.fail_after(30):
        while not fits(result := await deployment.run("hello", options={"max_tokens": 5})):  # noqa: ASYNC110 - another process gives no sign
            await anyio.sleep(0.05)  # what changes is another process
    return result


CHAIN = """\
deployment:
  type: single-device
  models:
    - {alias: first, provider: llama-cpp, model: first, endpoint: "$FIRST", fallback: [second]}
    - {alias: second, provider: llama-cpp, model: second, endpoint: "$SECOND"}
  agents:
    - {name: clerk, instructions: You talk., model: first, max_tokens: 20}
"""


async def test_the_second_server_answers_while_the_first_is_away(llama_server: LlamaServers, tmp_path: Path) -> None:
    """In the order of the manifest: the first as long as it lives, the second when it is gone, the first when it is back."""
    first, second = llama_server(alias="first"), llama_server(TinyModel(seed=1), alias="second")

    async def served_by(deployment: Opened) -> str:
        result = await deployment.run("hello")
        assert result.status == "completed", result.error
        return result.served_by.rpartition("/")[2]

    async with opened(write(tmp_path, CHAIN, first=first, second=second)) as deployment:
        assert [await served_by(deployment) for _ in range(3)] == ["first"] * 3
        first.kill()
        assert [await served_by(deployment) for _ in range(3)] == ["second"] * 3
        first = llama_server.again(first)
        await asked_until(deployment, lambda result: result.served_by.endswith("/first"))
    first.kill()
    second.kill()


async def test_a_stream_that_broke_does_not_go_on_elsewhere(
    endless: LlamaServer, llama_server: LlamaServers, tmp_path: Path
) -> None:
    """The second server is not asked: the caller would read two answers as one. The next request goes to it."""
    second = llama_server(alias="second")
    text = CHAIN.replace("model: first,", "model: tiny,", 1).replace("max_tokens: 20", "max_tokens: 9000")
    async with opened(write(tmp_path, text, first=endless, second=second)) as deployment:
        before = tokens_counted_by(second)
        pieces, result = await killed_after_first_piece(deployment, endless)
        assert result.error is not None and (result.text, result.error["kind"]) == (pieces, "CutOff")
        assert tokens_counted_by(second) == before
        answered = await deployment.run("hello", options={"max_tokens": 20})
    assert answered.status == "completed" and answered.served_by.endswith("/second"), answered.error
    second.kill()


DEGRADED = """\
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
    - {name: front, role: router, strategy: fixed, default: clerk, routes: [clerk, desk]}
    - name: clerk
      description: Talks.
      instructions: You talk.
      model: tiny
      escalate_to: person
      escalate_when: [error]
      ESCAPE
    - {name: desk, description: Says where to go., reflex: [{say: Please ask at the desk.}]}
    - {name: person, role: escalation, tools: [tickets], human: {queue: desk, say: 'Ticket {{ ticket }}.'}}
"""


async def test_a_server_that_dies_while_it_answers_whole_brings_a_person(endless: LlamaServer, tmp_path: Path) -> None:
    """Nothing was said yet, so the agent's escalation takes over, as the manifest says."""
    results: list[Result] = []
    async with opened(write(tmp_path, DEGRADED.replace("ESCAPE", ""), tiny=endless)) as deployment:

        async def ask() -> None:
            results.append(await deployment.run("go on"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: working(endless) == 1)
            endless.kill()
    (result,) = results
    assert (result.status, result.agent, result.served_by) == ("completed", "person", "person"), result.error
    assert result.path == ("router.front", "agent.clerk", "agent.person")
    assert result.text.startswith("Ticket ")


async def test_an_agent_without_its_server_answers_by_its_rules(endless: LlamaServer, tmp_path: Path) -> None:
    """A rule that is marked `without_model` answers from the very first request after the server's end."""
    rule = "reflex: [{without_model: true, say: I can only take a note.}]"
    text = DEGRADED.replace("ESCAPE", rule).replace("escalate_when: [error]", "max_tokens: 5")
    async with opened(write(tmp_path, text, tiny=endless)) as deployment:
        result = await deployment.run("hello")
        assert result.served_by.startswith("llama-cpp@"), result
        endless.kill()
        for _ in range(5):
            result = await deployment.run("hello")
            assert (result.status, result.served_by) == ("completed", "reflex"), result.error
            assert result.text == "I can only take a note."
