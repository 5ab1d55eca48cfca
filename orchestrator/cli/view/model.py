"""All that is known of one model, for people and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from orchestrator.app.builds import builds_for
from orchestrator.app.inventory import cache_of, called, wanted_ids
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.quantity import format_size
from orchestrator.manifest.catalogue.reader import find_model

if TYPE_CHECKING:
    from orchestrator.app.inventory import Choice
    from orchestrator.plan.observed import ObservedServer
    from orchestrator.ports.device import Device

USUAL: Final = 4096
"""Tokens of a usual request with its answer, for which the memory is told."""


def described(
    name: str, holding: Sequence[Choice], servers: Sequence[ObservedServer], device: Device | None
) -> dict[str, Any]:
    """The catalogue's row, its builds, best first for this ``device``, what serves it here, who could pull it, and what it
    needs of memory in bytes."""
    row = find_model(name)
    pulls = [server for server in servers if server.capabilities.get("pull") == "yes"]
    return {
        "name": row["alias"] if row else name,
        "catalogue": row,
        "memory": _memory(row) if row else None,
        "builds": _builds(row, device) if row else None,
        "served": [
            {"server": called(choice.server), "url": choice.server.url, **asdict(choice.served)}
            for choice in holding
            if choice.served is not None
        ],
        "pulled_by": [called(server) for server in pulls if row and wanted_ids(row, server.provider)],
    }


def _builds(row: Mapping[str, Any], device: Device | None) -> dict[str, Any]:
    found = builds_for(row, device)
    return {
        "models_may_take": found.budget.total if found.budget else None,
        "why": found.budget.why if found.budget else "",
        "free": device.free if device else None,
        "best_first": [
            {
                "build": each.build,
                "weights": each.need.weights,
                "needs": each.need.total,
                "fit": each.fit,
                "chosen": each.chosen,
                "why": each.why,
            }
            for each in found.variants
        ],
    }


def _memory(row: Mapping[str, Any]) -> dict[str, Any]:
    full = row["context_length"]
    tokens = [USUAL, full] if full > USUAL else [full]
    return {"weights": row["sizes"], "cache": {str(count): cache_of(row, count) for count in tokens}}


def shown_model(found: Mapping[str, Any], terminal: Terminal) -> str:
    """The whole report."""
    row = found["catalogue"]
    sections = [
        ("the model", list(_about(row)) if row else ["  the catalogue does not know it; what a server tells is below"]),
        ("what to ask for", columns(list(row["ids"].items()), indent="  ") if row else []),
        ("builds", list(_fitting(row, found["builds"])) if row else []),
        ("cache", list(_needs(row, found)) if row else []),
        ("served here", list(_served(found))),
    ]
    blocks = ["\n".join([terminal.paint("bold", title), *lines]) for title, lines in sections if lines]
    return "\n\n".join([terminal.paint("bold", found["name"]), *blocks])


def _about(row: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("kind", f"{row['kind']}, {row['family']} family, {row['parameters'] / 1e9:.2f} billion parameters"),
        ("also called", ", ".join(row.get("aliases", ()))),
        ("good for", ", ".join(row["tasks"])),
        ("tools", "trained to call them" if row["tools"] else "not trained to call them"),
        ("context", f"{row['context_length']} tokens"),
        ("licence", row["licence"]),
        ("note", row.get("note", "")),
    ]
    yield from columns([(name, value) for name, value in rows if value], indent="  ")


def _fitting(row: Mapping[str, Any], builds: Mapping[str, Any]) -> Iterator[str]:
    """Each build with its size, what it needs, and which one this device would get and why."""
    computed = set(row.get("estimated", ()))
    tokens = min(USUAL, row["context_length"])
    rows = [
        (
            "*" if each["chosen"] else "",
            each["build"],
            f"{format_size(each['weights'])} weights{' (computed)' if each['build'] in computed else ''}",
            f"{format_size(each['needs'])} with its server and {tokens} tokens",
            each["why"],
        )
        for each in builds["best_first"]
    ]
    yield from columns(rows, indent="  ")
    if builds["models_may_take"] is not None:
        may, free = format_size(builds["models_may_take"]), format_size(builds["free"])
        yield f"  * is what this device would get: models may take {may} ({builds['why']}); {free} of memory are free now"


def _needs(row: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """The cache, in 16 bits, for a usual request and for the longest."""
    rows = [
        (f"{tokens} tokens", format_size(size) if size is not None else row.get("kv_note", "not known"))
        for tokens, size in found["memory"]["cache"].items()
    ]
    yield from columns(rows, indent="  ")


def _served(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found["served"]:
        facts = [
            "loaded" if each["loaded"] else "not loaded" if each["loaded"] is False else "",
            format_size(each["size"]) if each["size"] else "",
            each["quantization"],
            f"{each['context']} tokens" if each["context"] else "",
            f"{each['slots']} at once" if each["slots"] else "",
            "on another machine" if each["remote"] else "",
            short_digest(each["digest"]) if each["digest"] else "",
        ]
        yield f"  {each['server']}: {each['id']} ({', '.join(filter(None, facts)) or 'nothing more is told'})"
    if not found["served"]:
        yield "  by no server"
        if found["pulled_by"]:
            yield f"  orchestrator models pull {found['name']}  ({', '.join(found['pulled_by'])} can)"


def short_digest(digest: str) -> str:
    """Enough of it to be compared by eye; one that is ours (``gguf-…``) as it is."""
    return digest if "-" in digest else f"sha256:{digest.removeprefix('sha256:')[:12]}"
