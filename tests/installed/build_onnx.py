"""Makes the ONNX form of the tiny model that is kept in ``tests/real/onnx``: ``python -m tests.installed.build_onnx``.

It needs torch and transformers (1.4 GB), which is why its result, 2.8 MB, is kept.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.installed.program import environment
from tests.real.tiny_folder import make_folder
from tests.real.tiny_model import CHATTY

FIXTURE: Final = Path(__file__).parents[1] / "real" / "onnx"
PACKAGES: Final = ("torch==2.13.0", "transformers", "onnx", "onnx-ir", "onnxruntime-genai==0.18.0")


def main() -> None:
    """Build it in a temporary folder, and put it in place."""
    programs = environment("onnx-builder", PACKAGES)
    with tempfile.TemporaryDirectory() as place:
        model = make_folder(CHATTY, Path(place) / "hf")
        made = Path(place) / "tiny"
        builder = [str(programs / "python"), "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
        subprocess.run([*builder, "-m", str(model), "-o", str(made), "-c", f"{place}/cache"], check=True)
        shutil.rmtree(FIXTURE / "tiny", ignore_errors=True)
        shutil.copytree(made, FIXTURE / "tiny")


if __name__ == "__main__":
    main()
