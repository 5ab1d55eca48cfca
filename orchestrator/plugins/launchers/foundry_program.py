"""Foundry Local as a server: ``python foundry_program.py MODEL --host HOST --port PORT --cache FOLDER --data FOLDER``.

It stands alone, and is run as a file by whichever Python has ``foundry-local-sdk``: the core of Foundry Local runs in the
process that imports it. MODEL is an alias of its catalogue or the id of a variant; what the cache lacks is downloaded, then it
is loaded, and only then the web service answers. ``FOUNDRY_LOCAL_CATALOG`` names another catalogue. Ends with SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

EXIT_UNKNOWN = 3
"""Ended because the catalogue has no such model."""
STOP_SECONDS = 5.0
"""How long the core has to end; half of what a server has before it is killed."""
_STEP = 5.0
"""Of a hundred: how far a download comes from one line of the log to the next."""


def main(words: list[str]) -> int:
    """Serve until it is told to end; gives the exit code. The core works in another thread: this one would hear no signal while
    native code runs in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("--host", "--port", "--cache", "--data"):
        parser.add_argument(name, required=True)
    life = _Life(parser.parse_args(words))
    signal.signal(signal.SIGTERM, lambda *_: life.ended.set())
    worker = threading.Thread(target=life.run, daemon=True)
    worker.start()
    life.ended.wait()
    worker.join(STOP_SECONDS)
    if worker.is_alive():  # a load cannot be broken off
        os._exit(life.code)
    return life.code


class _Life:
    """The core, its model and its web service. ``ended`` is set by whoever wants it to end, and where it failed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.ended = threading.Event()
        self.code = 0

    def run(self) -> None:
        """Serve until ``ended``; the exit code says what became of it."""
        try:
            core = _opened(self._options)
            self.code = self._serve(core)
            core.close()
        except BaseException:  # passed on: the exit code must tell of it first
            self.code = self.code or 1
            raise  # its traceback is what the log tells
        finally:
            self.ended.set()

    def _serve(self, core: Any) -> int:
        model = _found(core.catalog, self._options.model)
        if model is None:
            known = ", ".join(sorted({each.alias for each in core.catalog.list_models()}))
            _say(f"the catalogue has no model {self._options.model}; it has {known or 'none: is the network there?'}")
            return EXIT_UNKNOWN
        if not model.is_cached:
            _say(f"{model.id} is downloaded")
            model.download(_steps(model.id), self.ended)
        model.load()
        core.start_web_service()
        _say(f"{model.id} is loaded, and served at {', '.join(core.urls)}")
        self.ended.wait()
        core.stop_web_service()
        return 0


def _opened(options: argparse.Namespace) -> Any:
    """The core, which a process has once."""
    sdk: Any = importlib.import_module("foundry_local_sdk")
    host = f"[{options.host}]" if ":" in options.host else options.host
    catalogue = os.environ.get("FOUNDRY_LOCAL_CATALOG")
    sdk.FoundryLocalManager.initialize(
        sdk.Configuration(
            app_name="orchestrator",
            app_data_dir=options.data,
            model_cache_dir=options.cache,
            logs_dir=os.path.join(options.data, "logs"),  # noqa: PTH118 - a text for the core
            web=sdk.Configuration.WebService(urls=f"http://{host}:{options.port}"),
            catalog_urls=[(catalogue, None)] if catalogue else None,
            disable_nonessential_telemetry=True,
        )
    )
    return sdk.FoundryLocalManager.instance


def _found(catalogue: Any, name: str) -> Any:
    """By the id of a variant, by its name without a version, or by the alias, of which the core chooses the variant."""
    for model in catalogue.list_models():
        for variant in model.variants:
            if name in (variant.id, variant.id.partition(":")[0]):
                return variant
    return catalogue.get_model(name)


def _steps(name: str) -> Callable[[float], None]:
    """Says how far a download has come, now and then."""
    told = 0.0

    def tell(percent: float) -> None:
        nonlocal told
        if percent >= told + _STEP:
            told = percent
            _say(f"{name}: {percent:.0f} %")

    return tell


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
