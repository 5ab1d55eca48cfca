"""A router whose encoder is a model of a server: asked over HTTP by ``/v1/embeddings``, while it learns and for each request."""

from __future__ import annotations

from pathlib import Path

import pytest

import orchestrator
from orchestrator.app.compile import compile_files
from orchestrator.app.wiring import open_in_process
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.http_shell import serving

pytestmark = pytest.mark.anyio
MANIFEST = """\
metadata: {{name: shop}}
deployment:
  type: single-device
  models: [{{alias: nomic-embed-text, provider: openai-compatible, endpoint: "{url}", model: nomic-embed-text{zone}}}]
  agents:
    - {{name: front, role: router, encoder: nomic-embed-text, routes: [hours, returns], stages: [semantic]}}
    - name: hours
      examples: [when do you open, are you open on sunday, until when can i come today, do you close early]
      reflex: [{{say: Nine to six.}}]
    - name: returns
      examples: [i want to return this drill, can i get my money back, is a refund possible, take it back]
      reflex: [{{say: 'Within 30 days.'}}]
"""


class Wider(SimulatedEndpoint):
    """A server whose model gives vectors of another length."""

    def embedding(self, text: str, size: int = 8) -> tuple[float, ...]:
        return super().embedding(text, size=12)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is looked at."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")


def manifest(folder: Path, url: str, zone: str = "") -> Path:
    path = folder / "shop.yaml"
    path.write_text(MANIFEST.format(url=url, zone=zone))
    return path


async def test_the_server_makes_the_vectors_of_examples_and_of_requests(tmp_path: Path) -> None:
    """Its simulated vectors mean nothing, but the kernel's words do: the nearest example is told."""
    async with (
        serving(simulated(["nomic-embed-text"])) as shell,
        orchestrator.open(manifest(tmp_path, shell.url)) as shop,
    ):
        exact = await shop.run("When do you OPEN?")
        asked = await shop.run("can i get a refund")
        assert (exact.agent, exact.decisions[0].confidence) == ("hours", 1.0)
        assert "returns" in asked.decisions[0].why and "nearest example of returns" in asked.decisions[0].why
        await shell.stop()
        gone = await shop.run("can i get a refund please")
        assert gone.status == "unsure"
        assert "Unreachable" in gone.decisions[0].why


async def test_vectors_of_another_length_are_noticed_and_nothing_is_decided_by_them(tmp_path: Path) -> None:
    async with (
        serving(simulated(["nomic-embed-text"])) as shell,
        orchestrator.open(manifest(tmp_path, shell.url)) as shop,
    ):
        shell.endpoint.__class__ = Wider
        asked = await shop.run("can i get a refund")
    assert asked.status == "unsure"
    assert "gives 12 numbers and gave 8 when it was learned from" in asked.decisions[0].why


async def test_a_router_learns_anew_from_vectors_of_another_length(tmp_path: Path) -> None:
    """The next plan says so once a request has met them, and there is nothing to do any more after it was carried out."""
    async with serving(simulated(["nomic-embed-text"])) as shell:
        blueprint = compile_files([str(manifest(tmp_path, shell.url))], environment={}).blueprint
        async with open_in_process(blueprint, state=tmp_path / "state") as shop:
            reconciler = shop.planes.reconciler
            shell.endpoint.__class__ = Wider
            before = diff(blueprint, await reconciler.observe(blueprint))
            asked = await shop.run(orchestrator.Request("can i get a refund"))
            noticed = diff(blueprint, await reconciler.observe(blueprint))
            await reconciler.apply(Wanted(blueprint), lambda _: None)
            after = diff(blueprint, await reconciler.observe(blueprint))
            again = await shop.run(orchestrator.Request("can i get a refund"))
    assert before.empty and after.empty
    assert [note for note in asked.notes if "The router learns again by itself" in note]
    steps = [str(step) for step in noticed.steps]
    assert "~ router.front: fit again (cascade) (changed: vectors of its encoder)" in steps
    assert "; nearest example of " in again.decisions[0].why and again.notes == ()


async def test_it_does_so_by_itself_at_the_next_look(tmp_path: Path) -> None:
    async with serving(simulated(["nomic-embed-text"])) as shell:
        blueprint = compile_files([str(manifest(tmp_path, shell.url))], environment={}).blueprint
        async with open_in_process(blueprint, state=tmp_path / "state") as shop:
            shell.endpoint.__class__ = Wider
            await shop.run(orchestrator.Request("can i get a refund"))
            await shop.planes.reconciler.look()
            again = await shop.run(orchestrator.Request("can i get a refund"))
    assert "; nearest example of " in again.decisions[0].why


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_vectors_that_hold_no_numbers_decide_nothing(tmp_path: Path, number: float) -> None:
    """Neither while it learns nor for a request: NaN compares as false with every threshold."""
    async with serving(simulated(["nomic-embed-text"])) as shell:
        inner = shell.endpoint.embedding
        shell.endpoint.embedding = lambda text, size=8: (number, *inner(text, size)[1:])  # type: ignore[method-assign] # put in its place for this test only
        async with orchestrator.open(manifest(tmp_path, shell.url)) as shop:
            unlearned = await shop.run("can i get a refund")
        shell.endpoint.embedding = inner  # type: ignore[method-assign] # put in its place for this test only
        async with orchestrator.open(manifest(tmp_path, shell.url)) as shop:
            shell.endpoint.embedding = lambda text, size=8: (number, *inner(text, size)[1:])  # type: ignore[method-assign] # put in its place for this test only
            asked = await shop.run("can i get a refund")
    assert [unlearned.status, asked.status] == ["unsure", "unsure"]
    assert "nothing learned: the encoder nomic-embed-text: its vectors hold what is no finite number" in unlearned.why
    assert "BrokenReply: its vectors hold what is no finite number" in asked.why


async def test_a_server_that_is_away_leaves_the_stage_open_and_says_so(tmp_path: Path) -> None:
    async with orchestrator.open(manifest(tmp_path, "http://127.0.0.1:9/v1")) as shop:
        asked = await shop.run("can i get a refund")
    assert asked.status == "unsure"
    assert "nothing learned: the encoder nomic-embed-text: " in asked.decisions[0].why


async def test_a_restricted_request_reaches_no_encoder_in_the_cloud(tmp_path: Path) -> None:
    async with serving(simulated(["nomic-embed-text"])) as shell:
        seen: list[str] = []
        inner = shell.endpoint.embedding

        def noted(text: str, size: int = 8) -> tuple[float, ...]:
            seen.append(text)
            return inner(text, size)

        shell.endpoint.embedding = noted  # type: ignore[method-assign] # put in its place for this test only
        async with orchestrator.open(manifest(tmp_path, shell.url, ", zone: cloud")) as shop:
            canary = orchestrator.Request("the canary wants a refund", data_class="restricted")
            kept = await shop.run(canary)
            assert kept.status == "unsure" and "no encoder to ask" in kept.decisions[0].why
            await shop.run("the sparrow wants a refund")
    assert "the sparrow wants a refund" in seen
    assert not any("canary" in text for text in seen)
