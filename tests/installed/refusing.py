"""What a real server says of a schema that it makes no grammar of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.errors import GrammarRefused
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.ports.provider import ChatCall, Target


async def compare_refusal(provider: CompatibleProvider, target: Target, schema: Mapping[str, Any]) -> None:
    """It is told as that, whole and streamed; whoever asked says it in words then."""
    call = ChatCall(target, (Message("user", "go"),), schema=schema, max_tokens=8)
    try:
        with pytest.raises(GrammarRefused):
            await provider.chat(call)
        with pytest.raises(GrammarRefused):
            async for _ in provider.stream(call):
                pass
    finally:
        await provider.aclose()
