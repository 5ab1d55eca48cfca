"""A GGUF file tells its build, whatever its name is."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFWriter

from orchestrator.deploy.gguf_file import build_of_file


def written(path: Path, number: int | None, *, last: bool = False) -> str:
    """A file without weights, whose type stands first, or after its vocabulary as in what `llama-quantize` writes."""
    writer = GGUFWriter(path, "llama")
    if number is not None and not last:
        writer.add_file_type(number)
    writer.add_context_length(4096)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"word {index}" for index in range(2000)])
    writer.add_token_scores([0.5] * 2000)
    writer.add_rope_freq_base(10000.0)
    writer.add_add_bos_token(True)
    if number is not None and last:
        writer.add_file_type(number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return str(path)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("number", "build"), [(15, "q4_k_m"), (7, "q8_0"), (0, "f32"), (4, ""), (1024, "")])
def test_it_tells_its_build(tmp_path: Path, number: int, build: str, last: bool) -> None:
    """Wherever in the file it stands; a number that nobody knows is none."""
    assert build_of_file(written(tmp_path / "model.gguf", number, last=last)) == build


def test_one_that_says_nothing_is_of_no_known_build(tmp_path: Path) -> None:
    """So are what is no such file, a cut one, one with absurd lengths, a folder, and nothing at all."""
    assert build_of_file(written(tmp_path / "mute.gguf", None)) == ""
    whole = Path(written(tmp_path / "whole.gguf", 15, last=True)).read_bytes()
    for name, content in {
        "other.gguf": b"{}",
        "empty.gguf": b"",
        "cut.gguf": whole[: len(whole) // 2],
        "absurd.gguf": whole[:24] + b"\xff" * 64,
    }.items():
        (tmp_path / name).write_bytes(content)
        assert build_of_file(str(tmp_path / name)) == "", name
    assert build_of_file(str(tmp_path)) == ""
    assert build_of_file(str(tmp_path / "gone.gguf")) == ""


def test_another_file_in_its_place_is_read_anew(tmp_path: Path) -> None:
    """What was read holds for a file as it was."""
    path = tmp_path / "model.gguf"
    assert build_of_file(written(path, 15)) == "q4_k_m"
    path.unlink()
    assert build_of_file(written(path, 7, last=True)) == "q8_0"
