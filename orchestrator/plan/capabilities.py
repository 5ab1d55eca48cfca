"""What was probed of servers, as it is kept and compared: goes before what their makes declare. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.ports.probe import Finding, Probed
from orchestrator.ports.provider import Capability, Identity, ServedModel

FORMAT: Final = 1
_ABOUT: Final = ("provider", "url", "version", "model", "digest")


@dataclass(frozen=True, slots=True)
class Record:
    """What was found of one model on one server. ``version`` and ``digest`` are empty where the server tells none."""

    provider: str
    url: str
    version: str
    model: str
    digest: str
    findings: Mapping[Capability, Finding]

    @classmethod
    def of(cls, probed: Probed) -> Record:
        """From a probe."""
        identity, model = probed.identity, probed.model
        return cls(identity.provider, identity.url, identity.version, model.id, model.digest, probed.findings)

    def is_of(self, identity: Identity, model: ServedModel) -> bool:
        """Whether it still holds: the same version of the server, and the same build of the model."""
        mine = (self.provider, self.url, self.version, self.model, self.digest)
        return mine == (identity.provider, identity.url, identity.version, model.id, model.digest)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        findings = {name.value: self.findings[name].as_json() for name in Capability if name in self.findings}
        about = {"provider": self.provider, "url": self.url, "version": self.version}
        return {**about, "model": self.model, "digest": self.digest, "findings": findings}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Record:
        """From the plain form. Raises ``KeyError``, ``TypeError`` or ``ValueError``."""
        findings = {Capability(name): Finding.from_json(found) for name, found in told["findings"].items()}
        provider, url, version, model, digest = (str(told[name]) for name in _ABOUT)
        return cls(provider, url, version, model, digest, findings)


def merged(known: Iterable[Record], fresh: Iterable[Record]) -> list[Record]:
    """All of them; a fresh record replaces one of the same model at the same address. What was tried only then (a deep
    probe) stays known where version and build are the same."""
    new = {(record.url, record.model): record for record in fresh}
    kept = [record for record in known if (record.url, record.model) not in new]
    before = {_build(record): record.findings for record in known}
    found = [_with(record, before.get(_build(record), {})) for record in new.values()]
    return sorted([*kept, *found], key=lambda record: (record.provider, record.url, record.model))


def _build(record: Record) -> tuple[str, ...]:
    return tuple(getattr(record, name) for name in _ABOUT)


def _with(record: Record, before: Mapping[Capability, Finding]) -> Record:
    return replace(record, findings={**before, **record.findings})


# ---- the lock file ----------------------------------------------------------------------------------------------------


def lock_text(records: Iterable[Record]) -> str:
    """The text of a lock file: what can be compared on another day and another machine, in a stable order. No times, no
    addresses, no wording of a model."""
    entries = sorted((_locked(record) for record in records), key=lambda entry: json.dumps(entry, sort_keys=True))
    return json.dumps({"format": FORMAT, "probed": entries}, indent=2, ensure_ascii=False) + "\n"


def _locked(record: Record) -> dict[str, Any]:
    found = [(name, record.findings[name]) for name in Capability if name in record.findings]
    return {
        "provider": record.provider,
        "version": record.version,
        "model": record.model,
        "digest": record.digest,
        "capabilities": {name.value: finding.support.value for name, finding in found},
        "values": {
            name.value: finding.value
            for name, finding in found
            if finding.value is not None and _is_told(name, finding)
        },
    }


def _is_told(name: Capability, finding: Finding) -> bool:
    """What was measured differs from day to day; what a server tells does not."""
    return name in (Capability.CONTEXT_TOLD, Capability.SLOTS_TOLD) and finding.support.value == "yes"


def read_lock(text: str) -> list[dict[str, Any]]:
    """The entries of a lock file. Raises ``ValueError`` that says what is wrong with it."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise ValueError(f"it has the format {value['format']}, this version reads {FORMAT}")
        entries = [dict(entry) for entry in value["probed"]]
        for entry in entries:
            entry["provider"], entry["model"], entry["version"], dict(entry["capabilities"]), dict(entry["values"])
    except KeyError as error:
        raise ValueError(f'it is no lock file of capabilities: it has no "{error.args[0]}"') from error
    except TypeError as error:
        raise ValueError("it is no lock file of capabilities: it is not made as one") from error
    return entries


def differences(locked: Iterable[Mapping[str, Any]], records: Iterable[Record]) -> list[str]:
    """Each way in which what was found now differs from a lock file, as a line to read; empty where nothing does."""
    now = {(entry["provider"], entry["model"]): entry for entry in map(_locked, records)}
    evidence = {(record.provider, record.model): record.findings for record in records}
    then = {(entry["provider"], entry["model"]): entry for entry in locked}
    lines: list[str] = []
    for key in sorted(then.keys() | now.keys()):
        name = f"{key[0]} {key[1]}"
        if key not in now:
            lines.append(f"{name}: not found any more")
        elif key not in then:
            lines.append(f"{name}: new, not in the lock file")
        else:
            lines += [f"{name}: {line}" for line in _changes(then[key], now[key], evidence[key])]
    return lines


def _changes(then: Mapping[str, Any], now: Mapping[str, Any], evidence: Mapping[Capability, Finding]) -> Iterator[str]:
    for name in ("version", "digest"):
        if then.get(name, "") != now[name]:
            yield f"{name} was {then.get(name) or 'not told'}, is {now[name] or 'not told'}"
    for part in ("capabilities", "values"):
        for name in sorted(then[part].keys() | now[part].keys()):
            before, after = then[part].get(name, "not tried"), now[part].get(name, "not tried")
            if before != after:
                found = evidence.get(Capability(name)) if name in set(Capability) else None
                yield f"{name} was {before}, is {after}" + (f" ({found.evidence})" if found else "")
