"""What a program that is not ours may have of our environment: that of the runtime holds its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PASSED: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SYSTEMROOT", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("OLLAMA_MODELS", "CC", "CXX"),
    }
)
_PASSED_BEGINNINGS: Final = (
    "LC_",
    "XDG_",
    "CUDA_",
    "NVIDIA_",
    "HIP_",
    "ROCR_",
    "HSA_",
    "HF_",
    "VLLM_",
    "OMP_",
    "GGML_",
    "FOUNDRY_LOCAL_",
)


def passed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a model server, and a program that is asked for its options, may have: no keys and secrets of ours, and none of
    the variables by which some programs take options that nobody wrote."""
    return {
        name: value for name, value in environment.items() if name in _PASSED or name.startswith(_PASSED_BEGINNINGS)
    }
