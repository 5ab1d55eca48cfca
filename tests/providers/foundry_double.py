"""A double of Foundry Local's SDK: a virtual environment whose Python finds a package of that name, which keeps models as empty
folders. What it does wrong is told by the file ``fault`` in the cache."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SDK = '''
"""Names and shapes of foundry-local-sdk 2.2.1, as far as they are used."""
import json, os, shutil, signal, time
from pathlib import Path
from types import SimpleNamespace


class Configuration:
    def __init__(self, **given):
        self.given = given

    class WebService:
        def __init__(self, urls=None, external_url=None):
            self.urls, self.external_url = urls, external_url


class Variant:
    def __init__(self, cache, row):
        self.id, self.alias, self.context_length = row["id"], row["alias"], row["context"]
        self.info = SimpleNamespace(file_size_mb=row["megabytes"], task=row["task"])
        self.cache, self.place = cache, cache / "Maker" / row["id"].replace(":", "-")

    @property
    def is_cached(self):
        return self.place.is_dir()

    @property
    def variants(self):
        return [self]

    def load(self):
        if not self.is_cached:
            raise RuntimeError("Model must be downloaded before loading")

    def remove_from_cache(self):
        shutil.rmtree(self.place)

    def download(self, progress, cancel):
        fault = (self.cache / "fault").read_text() if (self.cache / "fault").exists() else ""
        for percent in (0.0, 40.0, 80.0):
            print("its core prints")
            progress(percent)
            if fault == "crash" and percent:
                os.kill(os.getpid(), signal.SIGSEGV)
            if fault == "offline" and percent:
                raise RuntimeError("region fallback exhausted: eastus(transport failure)")
            if fault == "slow" and percent and cancel.wait(60.0):
                (self.cache / "cancelled").touch()
                raise RuntimeError("cancelled")
        self.place.mkdir(parents=True)


class Catalog:
    def __init__(self, cache):
        self.cache = cache

    def list_models(self):
        (self.cache.parent / "asked").open("a").write(f"{len(FoundryLocalManager.services)}")
        return [Variant(self.cache, row) for row in json.loads((self.cache.parent / "catalogue.json").read_text())]

    def get_model(self, alias):
        return next((model for model in self.list_models() if model.alias == alias), None)


class FoundryLocalManager:
    instance = None
    services = []

    @staticmethod
    def initialize(configuration):
        cache = Path(configuration.given["model_cache_dir"])
        web = configuration.given["web"]
        FoundryLocalManager.services = [web.external_url] if web and web.external_url else []
        urls = [web.urls] if web and web.urls else []
        FoundryLocalManager.instance = SimpleNamespace(
            catalog=Catalog(cache),
            urls=urls,
            start_web_service=lambda: None,
            stop_web_service=lambda: print("stopped", flush=True),
            close=lambda: print("closed", flush=True),
        )
'''


def environment_with_sdk(place: Path) -> Path:
    """A Python that has it."""
    packages = place / "lib" / "python3.11" / "site-packages"
    (packages / "foundry_local_sdk").mkdir(parents=True)
    (packages / "foundry_local_sdk" / "__init__.py").write_text(SDK)
    (packages / "foundry_local_sdk-2.2.1.dist-info").mkdir()
    python = place / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def row(name: str, alias: str, **more: Any) -> dict[str, Any]:
    """A variant of its catalogue."""
    return {"id": name, "alias": alias, "context": 4096, "megabytes": 3, "task": "chat-completion", **more}


def cache_with(place: Path, rows: list[dict[str, Any]], *cached: str) -> Path:
    """A cache that has these of the catalogue."""
    cache = place / "cache"
    cache.mkdir()
    (place / "catalogue.json").write_text(json.dumps(rows))
    for name in cached:
        (cache / "Maker" / name.replace(":", "-")).mkdir(parents=True)
    return cache
