"""Other packages, as if they were installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.ports.installed import installed

Install = Callable[..., None]
ACME = (
    "tool.weather = tests.app.acme_kinds:open_weather",
    "strategy.last = tests.app.acme_kinds:fit_last",
    "provider.acme = tests.app.acme_kinds:Acme",
    "tool.tickets = tests.app.acme_kinds:open_weather",
)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with these entry points, and lets nothing of the user's own be used."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SERVERS", "")
    monkeypatch.chdir(tmp_path)

    def install(package: str, *entries: str) -> None:
        metadata = tmp_path / package / f"{package.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("\n".join(["[orchestrator.plugins]", *entries, ""]))
        monkeypatch.syspath_prepend(str(metadata.parent))
        installed.cache_clear()

    yield install
    installed.cache_clear()


@pytest.fixture
def acme(tmp_path: Path, install: Install) -> Path:
    """The package of ``acme_kinds.py`` is installed; the working folder."""
    install("acme-kinds", *ACME)
    return tmp_path
