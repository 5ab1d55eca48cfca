"""A simulated model server as a process of its own: ``python -m orchestrator.testing.simulated_server --help``.

Its first line of output is its address. Every request that ends, also because its client went away, is one line of JSON
on standard error or in ``--log FILE``. SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from orchestrator.core.errors import PortTaken
from orchestrator.core.quantity import parse_duration, parse_size
from orchestrator.testing.endpoint import Record, SimulatedEndpoint
from orchestrator.testing.faces import FACES
from orchestrator.testing.fault import FAULTS, parse_fault
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.lifecycle.store import FAULTS as STORE_FAULTS
from orchestrator.testing.lifecycle.store import ModelStore, StoredModel
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script, read_script


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes. Returns the exit code: 0, 4 for a port that is taken, or 64 for wrong usage."""
    parser = argparse.ArgumentParser(prog="simulate-endpoint", description="A model server that obeys a script.")
    add_options(parser)
    try:
        return serve(parser.parse_args(argv))
    except PortTaken as error:
        sys.stderr.write(f"simulate-endpoint: {error.line}\n")
        return error.exit_code


def serve(options: argparse.Namespace) -> int:
    """The same, with options that were parsed elsewhere. Raises ``PortTaken``."""
    if options.list_faults:
        _print_faults(sys.stdout)
        return 0
    try:
        endpoint = _endpoint(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"simulate-endpoint: {error}\n")
        return 64
    log = options.log.open("a", encoding="utf-8") if options.log else sys.stderr
    endpoint.on_record = _writer(log)
    try:
        asyncio.run(_serve(HttpShell(endpoint, options.face), options.port))
    finally:
        if log is not sys.stderr:
            log.close()
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Every option of the command, for a parser that may have its own too."""
    parser.add_argument("--port", type=_port, default=0, help="loopback port; 0 takes a free one (default)")
    parser.add_argument("--face", choices=sorted(FACES), default="openai", help="which make it looks like")
    parser.add_argument("--model", action="append", help="a model that it serves; may be repeated")
    parser.add_argument("--ttft", type=_seconds, default=0.0, metavar="TIME", help="time to the first token: 20ms")
    parser.add_argument("--tps", type=float, default=0.0, metavar="N", help="tokens per second; 0: no time passes")
    parser.add_argument("--prefill-tps", type=float, default=0.0, metavar="N", help="prompt tokens per second")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SHARE", help="share by which times vary: 0.2")
    parser.add_argument("--slots", type=int, default=4, help="requests that run at once")
    parser.add_argument("--queue", type=int, default=512, help="requests that may wait")
    parser.add_argument("--context", type=int, default=4096, help="tokens that a prompt may have")
    parser.add_argument("--seed", type=int, default=0, help="what chance starts from")
    parser.add_argument("--api-key", default="", help="a key that clients must send")
    parser.add_argument("--script", type=Path, metavar="FILE", help="YAML: rules, sequence, default")
    _add_store_options(parser)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[:VALUE][@WHEN]", help="may be repeated")
    parser.add_argument("--list-faults", action="store_true", help="print the names of all faults")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the log here, not to standard error")


def _add_store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--library",
        action="append",
        default=[],
        metavar="MODEL[=SIZE]",
        help="a model that can be pulled; may be repeated",
    )
    parser.add_argument("--pull-rate", type=_size, default=0, metavar="SIZE", help="bytes a second of a pull: 50MB")
    parser.add_argument("--load-time", type=_seconds, default=0.0, metavar="TIME", help="how long a model loads: 2s")
    parser.add_argument("--disk", type=_size, metavar="SIZE", help="what its disk holds; without it: everything")
    parser.add_argument("--memory", type=_size, metavar="SIZE", help="what its memory holds; without it: everything")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return port


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _endpoint(options: argparse.Namespace) -> SimulatedEndpoint:
    endpoint = SimulatedEndpoint(
        models=tuple(options.model or ["simulated"]),
        script=read_script(options.script) if options.script else Script(),
        pace=Pace(options.ttft, options.tps, options.prefill_tps, options.jitter),
        slots=options.slots,
        queue=options.queue,
        context=options.context,
        seed=options.seed,
        faults=[parse_fault(text) for text in options.fault if not _of_store(text)],
        api_key=options.api_key,
    )
    _stock(endpoint.store, options)
    return endpoint


def _stock(store: ModelStore, options: argparse.Namespace) -> None:
    for written in options.library:
        name, equals, size = written.rpartition("=")
        model = StoredModel(name, parse_size(size)) if equals else StoredModel(written)
        store.library[model.name] = model
    store.disk, store.memory = options.disk, options.memory
    store.pull_rate, store.load_time = options.pull_rate, options.load_time
    store.arm(*(text.partition("@")[0] for text in options.fault if _of_store(text)))


def _of_store(fault: str) -> bool:
    """Whether it strikes the next pull or load, which is the first. Raises ``ValueError`` where it is written for another one."""
    name, at, when = fault.strip().partition("@")
    if name not in STORE_FAULTS:
        return False
    if at and when != "1":
        raise ValueError(f"{fault!r}: {STORE_FAULTS[name]}, and no other; write it like {name} or {name}@1")
    return True


def _print_faults(out: TextIO) -> None:
    out.writelines(f"{fault.name:24}{fault.summary}\n" for fault in FAULTS.values())
    out.writelines(f"{name:24}{summary}\n" for name, summary in STORE_FAULTS.items())


def _writer(log: TextIO) -> Callable[[Record], None]:
    def write(record: Record) -> None:
        log.write(json.dumps(record.as_json(), ensure_ascii=False) + "\n")
        log.flush()

    return write


async def _serve(shell: HttpShell, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await shell.start(port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken" if error.errno == errno.EADDRINUSE else "is not for this user"
        raise PortTaken(f"port {port} {why}", cure="choose another --port, or leave it out for a free one") from error
    sys.stdout.write(f"{shell.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await shell.stop()


if __name__ == "__main__":
    sys.exit(main())
