"""What nodes say to each other, and how it is written: a few headers and a JSON body. Pure.

Every letter carries its version, and one that is not known in every part is refused (:class:`NotUnderstood`): a field that is
missing, of a wrong type or out of its bounds, a kind or a version that this code was not made for, and a field of a body that it
does not know, as a new field is a new version. Further *headers* are left alone: the transport adds its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, cast

from orchestrator.core.choices import DataClass
from orchestrator.core.errors import NotUnderstood
from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.ports.bus import Letter

VERSION: Final = "1"
MOST_HOPS: Final = 4
"""How many nodes may hand a request on; then it goes round."""
_HANDED: Final = "Handed"
_LOOKS: Final = "look"
"""In the place of whether it is kept: a node of an older version, which would work on it anew, refuses it."""
_CLASSES: Final = ("public", "internal", "restricted")
_STATES: Final = ("starting", "ready", "cordoned", "draining")
State = Literal["starting", "ready", "cordoned", "draining"]
"""``cordoned``: it answers for what it holds, and is given nothing more; ``draining``: it takes nothing new at all."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """That a node lives, and what it can take on.

    ``epoch`` is its incarnation, ``seq`` counts its beats, ``gen`` is the generation of the manifest that it serves. ``agents``
    are those that it answers for now, with whether their model is warm. ``fence`` is the highest epoch of any lease that it has
    seen. ``service_ms`` is how long an answer takes on average, ``room`` how many more requests it would take now. ``took``: the
    same by agent in ms, without waiting, of those that it has answered for since its last heartbeat.
    """

    node: str
    epoch: int
    seq: int
    gen: int
    state: State
    agents: Mapping[str, bool]
    slots: int
    inflight: int
    queued: int
    room: int
    service_ms: float
    fence: int = 0
    took: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request from node to node. ``deadline_ms`` is the time that is left, not a time of day: clocks differ. ``hop`` counts the
    nodes that have handed it on before. ``epoch`` is the caller's incarnation. ``kept``: the caller asks until it is answered, and
    the answer is to be written down before it is given. ``handed``: what the request brings along; it goes in a header, which a
    node that does not know it leaves alone. ``looks``: nothing is to be done; the caller asks what has become of a
    request which it was told to wait for."""

    req: str
    agent: str
    caller: str
    epoch: int
    gen: int
    deadline_ms: int
    data_class: DataClass
    hop: int
    body: Mapping[str, Any]
    trace: str = ""
    kept: bool = False
    handed: Handed = NOTHING_HANDED
    looks: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits any more for what was to go to the subject ``reply``."""

    req: str
    caller: str
    reply: str


@dataclass(frozen=True, slots=True)
class Ack:
    """It is taken on."""


@dataclass(frozen=True, slots=True)
class Busy:
    """It is not taken on, as there is no room: ask another one, or again after so many seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Ka:
    """The work still moves."""


@dataclass(frozen=True, slots=True)
class Tok:
    """A piece of the answer. ``seq`` counts them from 0."""

    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Fin:
    """The whole result. ``count`` pieces were sent before; ``digest`` is that of all pieces and of the result."""

    count: int
    digest: str
    body: Mapping[str, Any]


ErrKind = Literal["not_here", "draining", "restricted", "hops", "deadline", "failed", "stopped", "too_large"]
_ERRORS: Final = ("not_here", "draining", "restricted", "hops", "deadline", "failed", "stopped", "too_large")


@dataclass(frozen=True, slots=True)
class Err:
    """There will be no result."""

    kind: ErrKind
    message: str


Said = Ack | Busy | Ka | Tok | Fin | Err


@dataclass(frozen=True, slots=True)
class Reply:
    """What the node that answers says about the request ``req``. ``epoch`` is its incarnation, and ``run`` counts what it has
    worked on: pieces of one run are of one answer, and those of two never go together. 0: it was not taken on."""

    req: str
    node: str
    epoch: int
    said: Said
    run: int = 0


def digest_of_answer(pieces: Iterable[str], body: Mapping[str, Any]) -> str:
    """SHA-256 over all pieces of an answer and its result."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece.encode("utf-8", "surrogatepass"))
        hashed.update(b"\0")
    hashed.update(_packed(body))
    return hashed.hexdigest()


# ---- writing --------------------------------------------------------------------------------------------------------


def heartbeat_letter(subject: str, beat: Heartbeat) -> Letter:
    """A heartbeat as it goes out."""
    body = {name: getattr(beat, name) for name in _BEAT}
    body |= {"agents": dict(beat.agents), "took": dict(beat.took)}
    return Letter(subject, _packed(body), {"V": VERSION})


def call_letter(subject: str, call: Call, reply: str) -> Letter:
    """A request as it goes out."""
    headers = {
        "V": VERSION,
        "Req-Id": call.req,
        "Agent": call.agent,
        "Node": call.caller,
        "Epoch": str(call.epoch),
        "Gen": str(call.gen),
        "Deadline-Ms": str(call.deadline_ms),
        "Class": call.data_class,
        "Hop": str(call.hop),
        "Trace": call.trace,
        "Kept": _LOOKS if call.looks else str(int(call.kept)),
    }
    if call.handed:
        headers[_HANDED] = json.dumps(call.handed.as_json(), separators=(",", ":"))  # plain ASCII on one line
    return Letter(subject, _packed(call.body), headers, reply)


def cancel_letter(subject: str, cancel: Cancel) -> Letter:
    """A cancel as it goes out."""
    return Letter(subject, b"", {"V": VERSION, "Req-Id": cancel.req, "Node": cancel.caller, "Reply": cancel.reply})


def reply_letter(subject: str, reply: Reply) -> Letter:
    """A reply as it goes out."""
    said = reply.said
    headers = {"V": VERSION, "Req-Id": reply.req, "Node": reply.node, "Epoch": str(reply.epoch)}
    headers |= {"Run": str(reply.run), "K": type(said).__name__.lower()}
    body = b""
    if isinstance(said, Tok):
        headers["Seq"] = str(said.seq)
        body = said.text.encode("utf-8", "surrogatepass")
    elif isinstance(said, Fin):
        headers |= {"Seq": str(said.count), "Digest": said.digest}
        body = _packed(said.body)
    elif isinstance(said, Busy):
        headers["Retry-After"] = repr(float(said.retry_after))
    elif isinstance(said, Err):
        headers["Code"] = said.kind
        body = said.message.encode("utf-8", "surrogatepass")
    return Letter(subject, body, headers)


def _packed(body: Mapping[str, Any]) -> bytes:
    """In UTF-8 as it is, as an escape takes up to six times the room; half a surrogate pair has no other form than an escape."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


# ---- reading --------------------------------------------------------------------------------------------------------

_BEAT: Final = tuple(each.name for each in fields(Heartbeat))
_BEAT_COUNTS: Final = ("epoch", "seq", "gen", "slots", "inflight", "queued", "room", "fence")


def read_heartbeat(letter: Letter) -> Heartbeat:
    """The heartbeat that a letter is. Raises ``NotUnderstood``."""
    _versioned(letter)
    body = _unpacked(letter)
    if body.keys() != set(_BEAT):
        raise _refused(letter, f"its fields are {', '.join(sorted(body))}")
    for name in _BEAT_COUNTS:
        if type(body[name]) is not int or body[name] < 0:
            raise _refused(letter, f"{name} is {body[name]!r}, which is no count")
    if not isinstance(body["node"], str) or not body["node"]:
        raise _refused(letter, "it names no node")
    if body["state"] not in _STATES:
        raise _refused(letter, f"its state is {body['state']!r}")
    if not isinstance(body["agents"], dict) or not all(isinstance(warm, bool) for warm in body["agents"].values()):
        raise _refused(letter, "its agents are no map of names to yes or no")
    if not _is_span(body["service_ms"]):
        raise _refused(letter, f"service_ms is {body['service_ms']!r}")
    if not isinstance(body["took"], dict) or not all(_is_span(ms) for ms in body["took"].values()):
        raise _refused(letter, "took is no map of names to milliseconds")
    return Heartbeat(**body)


def _is_span(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def read_call(letter: Letter) -> Call:
    """The request that a letter is. Raises ``NotUnderstood``."""
    _versioned(letter)
    if not letter.reply:
        raise _refused(letter, "it says not where the answer goes")
    return Call(
        req=_header(letter, "Req-Id"),
        agent=_header(letter, "Agent"),
        caller=_header(letter, "Node"),
        epoch=_count(letter, "Epoch"),
        gen=_count(letter, "Gen"),
        deadline_ms=_count(letter, "Deadline-Ms"),
        data_class=cast(DataClass, _one_of(letter, "Class", _CLASSES)),
        hop=_count(letter, "Hop"),
        body=_unpacked(letter),
        trace=letter.headers.get("Trace", ""),
        kept=_one_of(letter, "Kept", ("0", "1", _LOOKS)) == "1",
        handed=_handed(letter),
        looks=letter.headers["Kept"] == _LOOKS,
    )


def read_cancel(letter: Letter) -> Cancel:
    """The cancel that a letter is. Raises ``NotUnderstood``."""
    _versioned(letter)
    return Cancel(_header(letter, "Req-Id"), _header(letter, "Node"), _header(letter, "Reply"))


def read_reply(letter: Letter) -> Reply:
    """The reply that a letter is. Raises ``NotUnderstood``."""
    _versioned(letter)
    said = _said(letter)
    return Reply(
        _header(letter, "Req-Id"), _header(letter, "Node"), _count(letter, "Epoch"), said, _count(letter, "Run")
    )


def _said(letter: Letter) -> Said:
    kind = _header(letter, "K")
    if kind == "ack":
        return Ack()
    if kind == "ka":
        return Ka()
    if kind == "tok":
        return Tok(_count(letter, "Seq"), _text(letter))
    if kind == "fin":
        return Fin(_count(letter, "Seq"), _header(letter, "Digest"), _unpacked(letter))
    if kind == "busy":
        return Busy(_seconds(letter, "Retry-After"))
    if kind == "err":
        return Err(cast(ErrKind, _one_of(letter, "Code", _ERRORS)), _text(letter))
    raise _refused(letter, f"{kind!r} is no kind of reply")


def _versioned(letter: Letter) -> None:
    version = letter.headers.get("V")
    if version != VERSION:
        raise _refused(letter, f"its version is {version!r}, and this node speaks {VERSION}")


def _header(letter: Letter, name: str) -> str:
    value = letter.headers.get(name, "")
    if not value:
        raise _refused(letter, f"it has no {name}")
    return value


def _one_of(letter: Letter, name: str, known: tuple[str, ...]) -> str:
    value = _header(letter, name)
    if value not in known:
        raise _refused(letter, f"{name} is {value!r}, which is none of {', '.join(known)}")
    return value


def _count(letter: Letter, name: str) -> int:
    value = _header(letter, name)
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise _refused(letter, f"{name} is {value!r}, which is no count")
    return int(value)


def _seconds(letter: Letter, name: str) -> float:
    try:
        value = float(_header(letter, name))
    except ValueError as error:
        raise _refused(letter, f"{name} is no number") from error
    if not 0 <= value < float("inf"):
        raise _refused(letter, f"{name} is {value}")
    return value


def _text(letter: Letter) -> str:
    try:
        return letter.body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _refused(letter, "its text is no UTF-8") from error


def _unpacked(letter: Letter) -> dict[str, Any]:
    try:
        body = json.loads(letter.body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _refused(letter, "its body is no JSON") from error
    if not isinstance(body, dict):
        raise _refused(letter, "its body is no JSON object")
    return body


def _handed(letter: Letter) -> Handed:
    written = letter.headers.get(_HANDED)
    if written is None:
        return NOTHING_HANDED
    try:
        return Handed.from_json(json.loads(written))
    except (ValueError, RecursionError) as error:
        raise _refused(letter, f"what it says of {_HANDED} {error}") from error


def _no_number(written: str) -> float:
    raise ValueError(f"{written} is no number of JSON")


def _refused(letter: Letter, why: str) -> NotUnderstood:
    return NotUnderstood(
        f"a letter to {letter.subject} was left aside: {why}", cure="run the same version on all nodes"
    )
