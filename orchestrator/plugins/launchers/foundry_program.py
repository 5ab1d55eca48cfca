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
_STEP = 5.0
"""Of a hundred: how far a download comes from one line of the log to the next."""


def main(words: list[str]) -> int:
    """Serve until it is told to end; gives the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("--host", "--port", "--cache", "--data"):
        parser.add_argument(name, required=True)
    options = parser.parse_args(words)
    core = _opened(options)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    model = _found(core.catalog, options.model)
    if model is None:
        known = ", ".join(sorted({each.alias for each in core.catalog.list_models()})) or "none: is the network there?"
        _say(f"the catalogue has no model {options.model}; it has {known}")
        core.close()
        return EXIT_UNKNOWN
    if not model.is_cached:
        _say(f"{model.id} is downloaded")
        model.download(_steps(model.id), ended)
    model.load()
    core.start_web_service()
    _say(f"{model.id} is loaded, and served at {', '.join(core.urls)}")
    ended.wait()
    core.stop_web_service()
    core.close()
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
