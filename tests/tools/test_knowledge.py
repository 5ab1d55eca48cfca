"""The knowledge tool: passages, their order, changes of the folder, and any text as a question."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools import knowledge
from orchestrator.plugins.tools.chunks import LONGEST, Passage, passages
from orchestrator.plugins.tools.knowledge import _found, open_knowledge, words_of
from orchestrator.plugins.tools.sqlite import open_own
from orchestrator.ports.tool import Tool, ToolPlace
from tests.tools.calling import call, closing, outcome

pytestmark = pytest.mark.anyio

RETURNS = """# Returns
You may send things back within 30 days.

## Costs
We pay the return shipping of damaged goods.
"""
SHIPPING = "# Spedizione\nLa spedizione costa 5 euro. Le città lontane: 3 giorni.\n"


@pytest.fixture
def docs(place: ToolPlace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(knowledge, "_LOOK_EVERY", 0.0)
    folder = place.folder / "docs"
    (folder / "it").mkdir(parents=True)
    (folder / "returns.md").write_text(RETURNS)
    (folder / "it" / "spedizione.md").write_text(SHIPPING)
    (folder / "opening-hours.txt").write_text("Monday to Friday, 9 to 18.")
    return folder


def open_docs(place: ToolPlace) -> Tool:
    return open_knowledge("faq", {"path": "docs"}, place)


async def test_the_best_passage_comes_with_its_source_heading_and_score(docs: Path, place: ToolPlace) -> None:
    async with closing(open_docs(place)) as tool:
        best = (await call(tool, "search", query="Who pays for shipping of damaged things?"))[0]
        assert (best["source"], best["heading"]) == ("returns.md", "Returns > Costs")
        assert best["text"] == "We pay the return shipping of damaged goods."
        assert 0.0 < best["score"] < 1.0
        told = await outcome(tool, "search", query="damaged goods", limit=1)
        assert told.text == "[1] returns.md: Returns > Costs (score 1.00)\nWe pay the return shipping of damaged goods."


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("quanto costano le spedizioni", "it/spedizione.md"),
        ("CITTA lontana", "it/spedizione.md"),
        ("opening hours", "opening-hours.txt"),
        ("returned", "returns.md"),
    ],
)
async def test_endings_accents_and_the_name_of_the_file_do_not_matter(
    docs: Path, place: ToolPlace, query: str, source: str
) -> None:
    async with closing(open_docs(place)) as tool:
        assert (await call(tool, "search", query=query))[0]["source"] == source


async def test_a_question_about_something_else_gets_a_low_score_or_nothing(docs: Path, place: ToolPlace) -> None:
    async with closing(open_docs(place)) as tool:
        assert await call(tool, "search", query="quantum chromodynamics") == []
        off = await call(tool, "search", query="may the president veto a constitutional amendment")
        assert all(passage["score"] < 0.3 for passage in off)
        assert (await outcome(tool, "search", query="?!")).text == "nothing found"


async def test_changed_new_and_removed_documents_are_seen_also_after_a_restart(docs: Path, place: ToolPlace) -> None:
    async with closing(open_docs(place)) as tool:
        assert await call(tool, "documents") == ["it/spedizione.md", "opening-hours.txt", "returns.md"]
        (docs / "returns.md").write_text(RETURNS.replace("damaged", "broken"))
        (docs / "new.md").write_text("zebra")
        assert await call(tool, "search", query="damaged") == []
        assert (await call(tool, "search", query="zebra"))[0]["source"] == "new.md"
    (docs / "new.md").unlink()
    async with closing(open_docs(place)) as tool:
        assert await call(tool, "search", query="zebra") == []
        assert (await call(tool, "search", query="broken"))[0]["source"] == "returns.md"


async def test_hidden_files_other_kinds_and_links_that_leave_are_no_documents(
    docs: Path, place: ToolPlace, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("canary outside")
    (docs / "link.md").symlink_to(tmp_path / "secret.md")
    (docs / "away").symlink_to(tmp_path)
    (docs / ".hidden.md").write_text("canary hidden")
    (docs / "table.csv").write_text("canary")
    os.mkfifo(docs / "pipe.md")
    async with closing(open_docs(place)) as tool:
        assert await call(tool, "search", query="canary") == []
        assert len(await call(tool, "documents")) == 3


async def test_a_folder_that_goes_away_is_an_error_and_not_old_answers(docs: Path, place: ToolPlace) -> None:
    async with closing(open_docs(place)) as tool:
        await call(tool, "search", query="shipping")
        shutil.move(docs, docs.with_name("gone"))
        with pytest.raises(ToolFailed, match="cannot be read"):
            await call(tool, "search", query="shipping")


async def test_a_missing_folder_stops_the_opening_and_without_a_path_it_has_its_own(place: ToolPlace) -> None:
    with pytest.raises(DeployError, match="there is no folder"):
        open_docs(place)
    async with closing(open_knowledge("knowledge", {}, place)) as tool:
        assert await call(tool, "search", query="anything") == []
        (place.state / "documents" / "a.md").write_text("hello world")
    async with closing(open_knowledge("knowledge", {}, place)) as tool:
        assert (await call(tool, "search", query="hello"))[0]["text"] == "hello world"


async def test_a_document_in_another_encoding_is_still_found(docs: Path, place: ToolPlace) -> None:
    (docs / "latin.txt").write_bytes("garantía llavero".encode("latin-1"))
    async with closing(open_docs(place)) as tool:
        assert (await call(tool, "search", query="llavero"))[0]["source"] == "latin.txt"


# ---- passages --------------------------------------------------------------------------------------------------------


def test_a_document_is_cut_at_its_headings() -> None:
    text = "intro\n# A\none\n```\n# no heading\n```\n### B\ntwo\n## C ##\n\n# D\nthree"
    assert passages(text) == [
        Passage("", "intro"),
        Passage("A", "one\n```\n# no heading\n```"),
        Passage("A > B", "two"),
        Passage("D", "three"),
    ]


@given(st.text(alphabet=st.sampled_from("ab \n#`"), max_size=400) | st.integers(0, 5000).map(lambda n: "word " * n))
def test_no_passage_is_empty_or_much_too_long_and_no_word_is_lost(text: str) -> None:
    cut = passages(text)
    assert all(passage.text.strip() and len(passage.text) <= LONGEST + 2 for passage in cut)
    letters = "".join(sorted(c for c in text if c in "word"))
    assert "".join(sorted(c for p in cut for c in p.text if c in "word")) == letters


# ---- any question ----------------------------------------------------------------------------------------------------


PASSAGE = 'and or not near "quoted" col:x'


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    store = open_own(tmp_path_factory.mktemp("index") / "k.db", knowledge._SCHEMA, "k")
    store.connection.execute("INSERT INTO passage VALUES ('h', ?, 's', 'f')", (PASSAGE,))
    return store.connection


@given(st.text(max_size=80) | st.from_regex(r'("|\*|AND|OR|NOT|NEAR\(|text:|\^|-|\+|\(|\)|[a-z]{1,8}| ){0,12}'))
def test_every_text_is_a_question_that_the_index_answers(index: sqlite3.Connection, query: str) -> None:
    words = words_of(query)
    found = _found(index, words, 3) if words else []
    assert all(0.0 <= passage["score"] <= 1.0 for passage in found)


@pytest.mark.parametrize(
    ("query", "words", "finds"),
    [
        ("AND", ["and"], True),
        ("NEAR(a b)", ["near", "b"], True),
        ('text:"x', ["text", "x"], True),
        ("quoted*", ["quoted"], True),
        ("or OR or", ["or"], True),
        ("quoted NOT near", ["quoted", "not", "near"], True),
        ("quoted AND zebra", ["quoted", "zebra"], True),
        ("quot*", ["quot"], False),
        ("x" * 5000, ["x" * 5000], False),
        ("\x00a", ["a"], False),
        ("a\ud800b", ["b"], False),
    ],
)
def test_words_of_the_query_language_are_only_words(
    index: sqlite3.Connection, query: str, words: list[str], finds: bool
) -> None:
    """As words they find the passage that has one of them; as the language they would exclude it, or be an error."""
    assert words_of(query) == words
    assert [passage["text"] for passage in _found(index, words, 3)] == [PASSAGE] * finds


async def test_a_large_folder_is_indexed_over_several_calls_that_are_cut_off(
    docs: Path, place: ToolPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No limit on a statement stops it, and what a call that is cut off has committed is not done again."""
    monkeypatch.setattr("orchestrator.plugins.tools.sqlite._LONGEST", 0.01)
    monkeypatch.setattr(knowledge, "_BATCH_SECONDS", 0.0)  # one file a commit
    for number in range(60):
        (docs / f"part-{number}.md").write_text(f"# Part {number}\n" + f"The pump {number} needs oil.\n\n" * 60)
    held = [0]
    async with closing(open_docs(place)) as tool:
        while not await _ends_before_its_first_commit(tool, place, held[-1]):
            held.append(_files_in_index(place))
        monkeypatch.undo()
        assert len(await call(tool, "documents")) == 63
        assert (await call(tool, "search", query="Part 59"))[0]["source"] == "part-59.md"
    assert len(held) > 3
    assert held == sorted(set(held))


async def _ends_before_its_first_commit(tool: Tool, place: ToolPlace, held: int) -> bool:
    """A call that is cut off once the index holds more than before; whether it had ended until then."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(_cancel_on_commit, scope, place, held)
            await call(tool, "documents")
        tasks.cancel_scope.cancel()
    return not scope.cancelled_caught


async def _cancel_on_commit(scope: anyio.CancelScope, place: ToolPlace, held: int) -> None:
    while _files_in_index(place) <= held:
        await anyio.lowlevel.checkpoint()
    scope.cancel()


def _files_in_index(place: ToolPlace) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{place.state / 'knowledge.db'}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT count(*) FROM file").fetchone()[0]
    return count


async def test_a_document_that_is_too_large_is_left_out_and_told(docs: Path, place: ToolPlace) -> None:
    """The others are found all the same."""
    (docs / "big.md").write_text("returns " * 300_000)
    async with closing(open_docs(place)) as tool:
        found = await outcome(tool, "search", query="opening hours")
        listed = await call(tool, "documents")
    assert found.text.startswith("[1] opening-hours.txt")
    assert found.text.endswith("not searched, as larger than 2 MB: big.md") and "big.md" not in listed
