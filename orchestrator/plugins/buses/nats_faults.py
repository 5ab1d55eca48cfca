"""The door: what ``nats-py`` raises and what the server answers, in the words of the port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import nats.errors
import nats.js.errors

from orchestrator.ports.bus import BusDown, Conflict, LetterTooLarge

HUB_AWAY: Final = "the hub does not answer: its server is down, or the link to it is"
CURE: Final = "it goes on by itself when the link is back; `orchestrator node status` tells what is known here"
_WRONG_REVISION: Final = (10071, 10164)
_NO_STREAM: Final = 10059


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Every exception of the library and of the network as a ``BusDown`` that says what was being done."""
    try:
        yield
    except nats.errors.NoRespondersError as error:
        raise BusDown(f"{doing}: {HUB_AWAY}", cure=CURE) from error
    except nats.errors.MaxPayloadError as error:
        raise LetterTooLarge(f"{doing}: it is larger than one message may be", cure="send less at once") from error
    except (nats.errors.BadSubjectError, nats.js.errors.InvalidKeyError) as error:
        raise BusDown(f"{doing}: no such subject can be", cure="words of a-z, 0-9 and -, joined by dots") from error
    except TimeoutError as error:
        raise BusDown(f"{doing}: no answer in time", cure=CURE) from error
    except nats.js.errors.APIError as error:
        raise refused(doing, {"err_code": error.err_code, "description": error.description}) from error
    except (nats.errors.Error, OSError) as error:
        raise BusDown(f"{doing}: {str(error) or type(error).__name__}", cure=CURE) from error


def refused(doing: str, error: Mapping[str, Any]) -> BusDown | Conflict:
    """What JetStream answers in place of an acknowledgement: somebody was first, or it cannot be."""
    code, why = error.get("err_code"), error.get("description") or "the server refused it"
    if code in _WRONG_REVISION:
        return Conflict(f"{doing}: somebody else has written it meanwhile", cure="read it again")
    if code == _NO_STREAM:
        return BusDown(f"{doing}: the hub has no such bucket (any more)", cure="a hub makes its buckets anew by itself")
    return BusDown(f"{doing}: {why}", cure="see the log of the hub's server")
