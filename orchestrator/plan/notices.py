"""How people are told that something waits, and what that lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.blueprint import Blueprint

_REFERENCES = ("env:", "file:", "keyring:")


def notice_secrets(people: Mapping[str, Any]) -> dict[str, list[str]]:
    """References of the secrets that each way of telling people needs, by the way: ``webhook``, ``email``."""
    notify: Mapping[str, Any] = people.get("notify", {})
    hook: Mapping[str, Any] = notify.get("webhook", {})
    mail: Mapping[str, Any] = notify.get("email", {}).get("smtp", {})
    url = str(hook.get("url", ""))
    found = {
        "webhook": [url if url.startswith(_REFERENCES) else None, hook.get("secret")],
        "email": [mail.get("password")],
    }
    return {way: [str(each) for each in references if each] for way, references in found.items()}


def untold_notes(blueprint: Blueprint, locked: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Ways on which nobody is told, as a secret of theirs cannot be had. ``locked``: such secrets, with why and a cure."""
    for way, references in notice_secrets(blueprint.people).items():
        for reference in references:
            if reference in locked:
                why, cure = locked[reference]
                yield f"people are not told by {way}: {'; '.join(filter(None, [why, cure]))}"
