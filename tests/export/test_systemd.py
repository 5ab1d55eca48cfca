"""Units of systemd: what systemd takes, one for each node with a home of its own."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.exporting.gather import Asked, gather
from orchestrator.app.exporting.pages import exported
from orchestrator.core.errors import UsageError
from tests.export.exports import CASES, case, export_of, notes

AGENT = "agents: [{name: a, reflex: [{say: hello}]}]"


@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_the_units_are_what_systemd_accepts(name: str, tmp_path: Path) -> None:
    """Checked by systemd itself, where it is there."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not on this machine")
    made = gather(compile_files([str(CASES / f"{name}.yaml")], environment={"HOOK_HOST": '50%"$x"y\\z'}), Asked())
    pages = [page for page in exported("systemd", made).pages if page.name.endswith(".service")]
    for page in pages:
        path = tmp_path / page.name
        path.write_bytes(page.content)
        own = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(
            [verify, "--user", "verify", str(path)], env=own, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert pages


def test_a_fleet_is_one_unit_a_node_with_a_home_and_a_name_of_its_own() -> None:
    """Below the state folder of whoever starts it, so that the unit fits any machine."""
    made = case("systemd", "fleet")
    units = {page.name: page.content.decode() for page in made.pages if page.name.endswith(".service")}
    hub = "orchestrator-fleet-back-office"
    assert [*units] == [f"{hub}.service", "orchestrator-fleet-till.service", "orchestrator-fleet-cellar.service"]
    till = units["orchestrator-fleet-till.service"].splitlines()
    assert "ExecStart=/opt/orchestrator/bin/python -P -m orchestrator.app.runtime --foreground" in till
    assert {"StateDirectory=orchestrator-fleet-till", "StateDirectoryMode=0700"} <= {*till}
    assert "Environment=ORCHESTRATOR_HOME=%S/orchestrator-fleet-till" in till
    assert "orchestrator node join --name till\n" in notes(made)
    assert not any(line.startswith("ReadWritePaths") for line in till)
    assert f"for {hub}: write LARGE_KEY as lines of NAME=value into config/environment" in notes(made)


def test_one_device_applies_its_manifest_as_it_starts(tmp_path: Path) -> None:
    """From where it lies; a percent sign is no specifier and a dollar no variable."""
    folder = tmp_path / "50% of $x"
    folder.mkdir()
    made = export_of(
        "systemd", folder, f"deployment: {{type: single-device, {AGENT}}}\n", settings={"metadata.name": "made"}
    )
    path = f"{tmp_path}/50%% of $$x/made.yaml"
    expected = f'ExecStart=/opt/orchestrator/bin/python -P -m orchestrator.cli.entry apply --foreground "{path}"'
    assert f"{expected} --set metadata.name=made\n" in made.printed


def test_a_command_that_is_typed_is_quoted_for_a_shell(tmp_path: Path) -> None:
    """A folder may have any name."""
    folder = tmp_path / "a b"
    folder.mkdir()
    made = export_of("systemd", folder, (CASES / "fleet.yaml").read_text())
    assert f"orchestrator apply '{folder}/made.yaml'\n" in notes(made)


def test_secrets_are_told_and_in_no_unit() -> None:
    """They belong into the file that each home has for them; files stay where they are."""
    made = case("systemd", "shop", {"HOOK_SECRET": "do-not-tell-0001"})
    assert "do-not-tell" not in made.printed + notes(made)
    assert "write HOOK_SECRET as lines of NAME=value into config/environment of its home" in notes(made)


def test_what_a_unit_cannot_hold_or_read_again_is_refused(tmp_path: Path) -> None:
    """A value of two lines, and a manifest that came by standard input."""
    text = f'deployment: {{type: single-device, {AGENT}, people: {{say: "${{SAY}}"}}}}\n'
    with pytest.raises(UsageError, match=r"SAY is .* which a systemd unit cannot hold"):
        export_of("systemd", tmp_path, text, {"SAY": "one\ntwo"})
    typed = io.StringIO(f"metadata: {{name: made}}\ndeployment: {{type: single-device, {AGENT}}}\n")
    with pytest.raises(UsageError, match="standard input is gone"):
        exported("systemd", gather(compile_files(["-"], environment={}, stdin=typed), Asked()))
