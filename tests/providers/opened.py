"""All makes, opened: for tests that ask each of them."""

from __future__ import annotations

from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.compatible import CompatibleProvider, provider_of


def open_all() -> tuple[CompatibleProvider, ...]:
    """One provider for each make, in the order in which they are asked who answers."""
    return tuple(provider_of(make) for make in MAKES)
