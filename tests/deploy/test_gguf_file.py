"""A GGUF file tells its build, whatever its name is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from numpy import uint8, zeros

from orchestrator.deploy.gguf_file import _TYPES, build_of_file, fault_of_file


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


def with_weights(path: Path, kind: GGMLQuantizationType) -> bytes:
    """A file with two tensors of one type."""
    writer = GGUFWriter(path, "llama")
    writer.add_token_list([f"word {index}" for index in range(2000)])
    _, size = GGML_QUANT_SIZES[kind]
    for name in ("one", "two"):
        writer.add_tensor(name, zeros((3, 5 * size), dtype=uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in GGML_QUANT_SIZES if kind.value in _TYPES])
def test_one_that_is_cut_says_so_and_a_whole_one_nothing(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    """Of all types that the reference has: what `gguf` writes is whole to the byte, but for the padding of the last."""
    assert _TYPES[kind.value] == GGML_QUANT_SIZES[kind]
    path = tmp_path / "model.gguf"
    whole = with_weights(path, kind)
    assert fault_of_file(str(path)) == ""
    needed = len(whole) - (-3 * 5 * GGML_QUANT_SIZES[kind][1]) % 32
    cut = tmp_path / "cut.gguf"
    for length, fault in ((needed, ""), (needed - 1, "is cut: "), (20_000, "is cut: only 20.0 kB of it are there")):
        cut.write_bytes(whole[:length])
        assert fault_of_file(str(cut)).startswith(fault) and bool(fault_of_file(str(cut))) is bool(fault), length
        cut.unlink()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever opens one waits until somebody writes to it, and all applies after it would wait too."""
    os.mkfifo(tmp_path / "a.gguf")
    assert fault_of_file(str(tmp_path / "a.gguf")) == "is no regular file"
    assert build_of_file(str(tmp_path / "a.gguf")) == ""


def test_what_is_no_such_file_says_so_and_what_cannot_be_told_nothing(tmp_path: Path) -> None:
    """A page of a hub, a pointer in the place of a file; a version that nobody knows, and one without any weight."""
    faults = {"page": b"<html>", "empty": b"", "new": b"GGUF" + b"\x09" * 40}
    for name, content in faults.items():
        (tmp_path / name).write_bytes(content)
    assert [fault_of_file(str(tmp_path / name)) for name in faults] == ["is no GGUF file", "is no GGUF file", ""]
    assert fault_of_file(written(tmp_path / "mute.gguf", 15)) == ""
    assert fault_of_file(str(tmp_path / "gone.gguf")) == ""
