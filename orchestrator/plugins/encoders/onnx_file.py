"""Writes ONNX files: the few messages of its protocol buffers that a graph needs, so that no library is needed for it.

Field numbers are those of ``onnx.proto`` (ONNX, IR version 8); the wire format is that of protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

IR_VERSION: Final = 8
OPERATORS: Final = {"": 17, "com.microsoft": 1}
_TYPES: Final = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_FLOAT, _INT, _INTS = 1, 2, 7


@dataclass(slots=True)
class Graph:
    """A graph in the making: constants and nodes in the order in which they run."""

    constants: list[bytes] = field(default_factory=list)
    nodes: list[bytes] = field(default_factory=list)
    made: int = 0

    def constant(self, name: str, value: Array) -> str:
        """Add a constant; gives its name."""
        dims = b"".join(_number(1, size) for size in value.shape)
        kind = _number(2, _TYPES[value.dtype.name])
        self.constants.append(dims + kind + _text(8, name) + _bytes(9, value.tobytes()))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: int = 1,
        domain: str = "",
        **attributes: int | float | list[int],
    ) -> list[str]:
        """Add a node; gives the names of its outputs."""
        names = [f"v{self.made + number}" for number in range(outputs)]
        self.made += outputs
        parts = [_text(1, name) for name in inputs] + [_text(2, name) for name in names]
        parts.append(_text(4, operator))
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        parts.append(_text(7, domain))
        self.nodes.append(b"".join(parts))
        return names

    def written(self, inputs: Mapping[str, tuple[str, list[str | int]]], output: str, size: int) -> bytes:
        """The file. ``inputs`` are type and shape by name (a text is a size that is open); ``output`` is a vector of ``size``."""
        parts = [_bytes(1, node) for node in self.nodes]
        parts.append(_text(2, "encoder"))
        parts += [_bytes(5, constant) for constant in self.constants]
        parts += [_bytes(11, _value(name, kind, shape)) for name, (kind, shape) in inputs.items()]
        parts.append(_bytes(12, _value(output, "float32", [1, size])))
        sets = [_bytes(8, _text(1, domain) + _number(2, version)) for domain, version in OPERATORS.items()]
        return _number(1, IR_VERSION) + _bytes(7, b"".join(parts)) + b"".join(sets)


def _attribute(name: str, value: int | float | list[int]) -> bytes:
    match value:
        case list():
            return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, _INTS)
        case int():
            return _text(1, name) + _number(3, value) + _number(20, _INT)
        case _:
            return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _number(20, _FLOAT)


def _value(name: str, kind: str, shape: Sequence[str | int]) -> bytes:
    sizes = [_text(2, size) if isinstance(size, str) else _number(1, size) for size in shape]
    tensor = _number(1, _TYPES[kind]) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return _key(number, 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as 64 bits."""
    value &= 2**64 - 1
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)
