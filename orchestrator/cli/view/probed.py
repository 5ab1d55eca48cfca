"""What a probe found, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.app.probing import Outcome
from orchestrator.cli.view.columns import columns
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.in_line import in_line
from orchestrator.ports.probe import Finding, Probed
from orchestrator.ports.provider import Capability, Support

_PAINT: Final = {Support.YES: "green", Support.NO: "yellow", Support.IGNORED: "red", Support.UNKNOWN: "dim"}


def shown_probes(outcome: Outcome, terminal: Terminal, *, named: bool = False) -> str:
    """A table for each model that was asked, then the places that were left out; where nobody listens, only where the places were
    ``named``."""
    blocks = ["\n".join(_block(probed, terminal)) for probed in outcome.probed]
    left = columns(
        [(url, in_line(why)) for url, why in outcome.left_out.items() if named or why != "nobody listens there"],
        indent="  ",
    )
    if left:
        blocks.append("\n".join([terminal.paint("bold", "not probed"), *left]))
    return "\n\n".join(blocks) or "no model server answers, so nothing was probed"


def _block(probed: Probed, terminal: Terminal) -> Iterator[str]:
    identity = probed.identity
    version = f" {in_line(identity.version)}" if identity.version else ""
    title = f"{identity.provider}{version} at {identity.url}, {in_line(probed.model.id)}"
    yield terminal.paint("bold", title)
    for note in identity.notes:
        yield f"  note: {in_line(note)}"
    if not probed.findings:
        yield "  its provider cannot be probed"
    rows = []
    for name in Capability:
        if name in probed.findings:
            finding = probed.findings[name]
            said = _declared(finding, identity.capabilities.get(name, Support.UNKNOWN))
            rows.append(
                (
                    name.value,
                    terminal.paint(_PAINT[finding.support], finding.support.value),
                    said + in_line(_shown(finding)),
                )
            )
    yield from columns(rows, indent="  ")


def _declared(finding: Finding, declared: Support) -> str:
    """What the make declares, where it is something else."""
    known = Support.UNKNOWN not in (declared, finding.support)
    return f"(declared: {declared.value}) " if known and declared is not finding.support else ""


def _shown(finding: Finding) -> str:
    return f"{finding.value}: {finding.evidence}" if finding.value is not None else finding.evidence
