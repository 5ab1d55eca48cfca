"""A BERT encoder's weights as an ONNX graph of 8-bit integers, as ONNX Runtime runs it fastest on a CPU.

Weights are quantised once, by column and symmetric; what goes through the graph is quantised as it comes (dynamic
quantisation). Seven of the eight bits are used: processors without VNNI add pairs of products in 16 bits, which full ones
would overflow. One text at a time, without padding, so that no mask is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError
from orchestrator.plugins.encoders.onnx_file import Graph

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

HIGHEST: Final = 63
_MICROSOFT: Final = "com.microsoft"
_READ: Final = {"F32": "<f4", "F16": "<f2"}


def read_weights(path: Path) -> dict[str, Array]:
    """The tensors of a ``.safetensors`` file as 32-bit floats, ``bert.`` before their names cut. Raises ``DeployError``."""
    import numpy as np

    content = path.read_bytes()
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        body = memoryview(content)[8 + length :]
        return {
            name.removeprefix("bert."): np.frombuffer(body[slice(*told["data_offsets"])], _READ[told["dtype"]])
            .reshape(told["shape"])
            .astype(np.float32)
            for name, told in header.items()
            if name != "__metadata__" and told["dtype"] in _READ
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(f"{path} holds no weights that can be read: {error!r}", cure="fetch it again") from error


def written(weights: Mapping[str, Array], config: Mapping[str, Any], *, pool: str = "mean") -> bytes:
    """The ONNX file of a BERT model: ``ids`` and ``positions`` (int64) in, one vector out, by ``mean`` or of the first token.

    Raises ``DeployError`` for weights that are none of BERT.
    """
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        told = f"{config.get('model_type')} with {config.get('hidden_act')}"
        raise DeployError(f"an encoder of the kind {told} cannot be exported", cure="give its folder a model.onnx")
    try:
        return _Bert(weights, config).written(pool)
    except KeyError as error:
        raise DeployError(
            f"the weights lack {error}", cure="fetch them again, or give the folder a model.onnx"
        ) from error


class _Bert:
    """The graph, layer by layer."""

    def __init__(self, weights: Mapping[str, Array], config: Mapping[str, Any]) -> None:
        self._weights = weights
        self._config = config
        self._graph = Graph()
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))

    def written(self, pool: str) -> bytes:
        import numpy as np

        graph = self._graph
        hidden = self._embedded()
        for layer in range(int(self._config["num_hidden_layers"])):
            hidden = self._layer(hidden, f"encoder.layer.{layer}.")
        if pool == "cls":
            first = graph.constant("first", np.array(0, np.int64))
            (output,) = graph.node("Gather", [hidden, first], axis=1)
        else:
            (output,) = graph.node("ReduceMean", [hidden], axes=[1], keepdims=0)
        inputs: dict[str, tuple[str, list[str | int]]] = {
            "ids": ("int64", [1, "tokens"]),
            "positions": ("int64", ["tokens"]),
        }
        return graph.written(inputs, output, int(self._config["hidden_size"]))

    def _embedded(self) -> str:
        import numpy as np

        graph = self._graph
        table = self._weights["embeddings.word_embeddings.weight"]
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        rows = graph.constant("words", np.round(table / scales).astype(np.int8))
        (words,) = graph.node("Gather", [rows, "ids"])
        (words,) = graph.node("Cast", [words], to=1)
        (sizes,) = graph.node("Gather", [graph.constant("words.scales", scales.astype(np.float32)), "ids"])
        (words,) = graph.node("Mul", [words, sizes])
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        (placed,) = graph.node("Gather", [graph.constant("places", places), "positions"])
        (total,) = graph.node("Add", [words, placed])
        return self._normal(total, "embeddings.LayerNorm")

    def _layer(self, hidden: str, layer: str) -> str:
        import numpy as np

        own = [f"{layer}attention.self.{part}" for part in ("query", "key", "value")]
        together = np.concatenate([self._weights[f"{name}.weight"] for name in own])
        biases = np.concatenate([self._weights[f"{name}.bias"] for name in own])
        graph = self._graph
        three = self._product(hidden, f"{layer}qkv", together, biases)
        parts = graph.node("Split", [three], 3, axis=2)
        heads = int(self._config["num_attention_heads"])
        (seen,) = graph.node("MultiHeadAttention", parts, domain=_MICROSOFT, num_heads=heads)
        seen = self._dense(seen, f"{layer}attention.output.dense")
        hidden = self._normal(seen, f"{layer}attention.output.LayerNorm", hidden)
        wide = self._dense(hidden, f"{layer}intermediate.dense")
        (wide,) = graph.node("Gelu", [wide], domain=_MICROSOFT)
        return self._normal(self._dense(wide, f"{layer}output.dense"), f"{layer}output.LayerNorm", hidden)

    def _dense(self, hidden: str, name: str) -> str:
        return self._product(hidden, name, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _product(self, hidden: str, name: str, weight: Array, bias: Array) -> str:
        import numpy as np

        graph = self._graph
        scales = (np.maximum(np.abs(weight).max(axis=1), 1e-12) / HIGHEST).astype(np.float32)
        columns = np.ascontiguousarray(np.round(weight / scales[:, None]).astype(np.int8).T)
        inputs = [
            hidden,
            graph.constant(f"{name}.weight", columns),
            graph.constant(f"{name}.scales", scales),
            graph.constant(f"{name}.zeros", np.zeros(len(scales), np.int8)),
            graph.constant(f"{name}.bias", bias),
        ]
        (output,) = graph.node("DynamicQuantizeMatMul", inputs, domain=_MICROSOFT)
        return output

    def _normal(self, hidden: str, name: str, skip: str = "") -> str:
        """Layer normalisation of the sum of both."""
        graph = self._graph
        gamma = graph.constant(f"{name}.weight", self._weights[f"{name}.weight"])
        beta = graph.constant(f"{name}.bias", self._weights[f"{name}.bias"])
        if skip:
            inputs = [hidden, skip, gamma, beta]
            (output,) = graph.node("SkipLayerNormalization", inputs, domain=_MICROSOFT, epsilon=self._epsilon)
        else:
            (output,) = graph.node("LayerNormalization", [hidden, gamma, beta], axis=-1, epsilon=self._epsilon)
        return output
