"""Very many faults and very large files: told with a count, never without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import ManifestError
from orchestrator.manifest.faults import LONGEST_TEXT, MOST_FAULTS
from orchestrator.manifest.load import load_texts

HEAD = "deployment:\n  type: single-device\n"


def told(text: str) -> list[tuple[str, str]]:
    """Codes and messages for a text that is refused."""
    with pytest.raises(ManifestError) as caught:
        load_texts({"shop.yaml": text}, Path("/nowhere"), {})
    return [(one.code, one.message) for one in caught.value.diagnostics]


def test_more_faults_than_anybody_reads_are_counted() -> None:
    """Two hundred are told."""
    found = told(HEAD + "".join(f"  k{number}: 1\n" for number in range(1_000)))
    assert len(found) == MOST_FAULTS + 1
    assert found[-1] == ("ORC100", "800 more values do not fit the format")


def test_a_file_full_of_equal_keys_is_not_read_to_its_end() -> None:
    """After two hundred of them."""
    found = told("a: 1\n" * 1_000)
    assert [code for code, _ in found] == ["ORC114"] * MOST_FAULTS + ["ORC100"]


def test_a_million_values_are_too_many() -> None:
    """Counted before they are read, where a line or comma gives them away."""
    assert told("- a\n" * 1_000_001)[0][0] == "ORC117"


def test_a_very_long_word_is_cut_in_the_message() -> None:
    """The message stays a message."""
    [(code, message)] = told(HEAD + "  " + "k" * 900 + ": 1\n")
    assert code == "ORC130" and len(message) <= LONGEST_TEXT + 1
