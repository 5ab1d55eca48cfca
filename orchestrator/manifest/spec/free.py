"""Keys whose maps hold names that the user chose. A test holds this table to the models."""

from __future__ import annotations

from typing import Final

NAMED: Final = "named"
"""The keys are free, the values are not."""
OPAQUE: Final = "opaque"
"""Everything below is free."""

FREE_MAPS: Final[dict[str, str]] = {
    "arguments": OPAQUE,
    "extract": NAMED,
    "labels": NAMED,
    "model_confidence": NAMED,
    "node_labels": NAMED,
    "output_schema": OPAQUE,
    "parameters": NAMED,
    "patterns": NAMED,
    "plugin_options": OPAQUE,
    "queries": NAMED,
}
