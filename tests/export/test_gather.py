"""Which files are carried along, how they are named, and what is told of the others."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.compile import compile_files
from orchestrator.app.exporting.gather import Asked, gather
from orchestrator.app.exporting.modules import modules_of
from orchestrator.app.exporting.pages import exported
from orchestrator.app.settings import DEFAULT_PORT
from orchestrator.core.errors import UsageError
from orchestrator.export.names import LONGEST, dns_label, is_dns_label, is_label
from orchestrator.export.running import PORT
from tests.export.exports import case, export_of, gathered, notes

AGENT = "agents: [{name: a, instructions: Help., reflex: [{say: hello}]}]"


def test_files_of_several_folders_keep_their_places(tmp_path: Path) -> None:
    """So that what is relative stays right."""
    for name, text in {
        "base/shop.yaml": f"include: [../parts/more.yaml]\ndeployment: {{type: single-device, {AGENT}}}\n",
        "parts/more.yaml": "deployment: {timeout: 30s}\n",
        "site/milan.yaml": "metadata: {labels: {site: milan}}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    names = [str(tmp_path / "base/shop.yaml"), str(tmp_path / "site/milan.yaml")]
    order = gather(compile_files(names, environment={}), Asked()).order
    assert [*order.files] == ["base/shop.yaml", "parts/more.yaml", "site/milan.yaml"]
    assert order.manifests == ("base/shop.yaml", "site/milan.yaml")


def test_what_lies_elsewhere_is_told(tmp_path: Path) -> None:
    """It is not carried: an absolute path stays one, and what leads out of the folder has none below it."""
    outside = tmp_path / "outside"
    (tmp_path / "inside").mkdir()
    outside.mkdir()
    (outside / "a.csv").write_text("name\nx\n")
    tools = (
        f"[{{name: one, use: database, path: {outside}/a.csv}}, {{name: two, use: database, path: ../outside/a.csv}}]"
    )
    agents = "[{name: a, tools: [one, two], instructions: Help., reflex: [{say: hello}]}]"
    text = f"deployment: {{type: single-device, tools: {tools}, agents: {agents}}}\n"
    made = export_of("compose", tmp_path / "inside", text)
    assert [page.name for page in made.pages] == ["compose.yaml", "manifest/made.yaml", "NOTES.txt"]
    assert f"tool.one reads {outside}/a.csv, which is not carried along: mount it there" in notes(made)
    assert "tool.two reads /etc/orchestrator/outside/a.csv" in notes(made)


def test_a_manifest_that_was_typed_in_becomes_a_file() -> None:
    """It has no name of its own."""
    typed = io.StringIO(f"metadata: {{name: made}}\ndeployment: {{type: single-device, {AGENT}}}\n")
    order = gather(compile_files(["-"], environment={}, stdin=typed), Asked()).order
    assert order.manifests == ("manifest.yaml",) and [*order.files] == ["manifest.yaml"]


def test_settings_are_words_of_the_command_and_no_file(tmp_path: Path) -> None:
    """They are laid over the manifest again where it runs."""
    path = tmp_path / "made.yaml"
    path.write_text(f"deployment: {{type: single-device, {AGENT}}}\n")
    overrides = {"metadata.name": "shop"}
    made = gather(compile_files([str(path)], environment={}, overrides=overrides), Asked(settings=overrides)).order
    assert made.settings == ("metadata.name=shop",) and [*made.files] == ["made.yaml"] and made.name == "shop"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("*.nothing", "fits no file"), ("../*", "leads out"), ("/etc/*", "leads out"), ("", "leads out")],
)
def test_a_pattern_that_fits_nothing_below_the_folder_is_refused(pattern: str, said: str, tmp_path: Path) -> None:
    """It was meant to carry something."""
    with pytest.raises(UsageError, match=said):
        export_of("compose", tmp_path, f"deployment: {{type: single-device, {AGENT}}}\n", include=[pattern])


def test_what_is_hidden_is_carried_only_where_a_pattern_has_its_dot(tmp_path: Path) -> None:
    """As in a shell, and as what is read when the manifest serves: a table or a document is not hidden."""
    for name in ("data/a.csv", "data/.hidden.csv", "data/.git/b.csv", ".env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("name\nx\n")
    plain = f"deployment: {{type: single-device, {AGENT}}}\n"

    def carried(*patterns: str, manifest: str = plain) -> set[str]:
        made = export_of("compose", tmp_path, manifest, include=[*patterns])
        return {page.name.removeprefix("manifest/") for page in made.pages if page.name.startswith("manifest/")} - {
            "made.yaml"
        }

    assert carried("data/*.csv") == carried("**/*.csv") == carried("*/*") == {"data/a.csv"}
    assert carried("data/.*.csv") == {"data/.hidden.csv"} and carried("data/.git/*") == {"data/.git/b.csv"}
    assert carried(".env", "data/*") == {".env", "data/a.csv"}
    with pytest.raises(UsageError, match="fits no file") as told:
        carried("*nv")
    assert "hidden" in told.value.cure
    tools = "[{name: one, use: database, path: data}]"
    agents = "[{name: a, tools: [one], instructions: Help., reflex: [{say: hello}]}]"
    manifest = f"deployment: {{type: single-device, tools: {tools}, agents: {agents}}}\n"
    assert carried(manifest=manifest) == {"data/a.csv"}


def test_a_link_out_of_the_folder_carries_nothing(tmp_path: Path) -> None:
    """Where a pattern finds one it is refused, where a part of the manifest leads through one it is told; a link within is a file
    like others."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "data").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.csv").write_text("name\nx\n")
    (inside / "plain.csv").write_text("name\ny\n")
    (inside / "data" / "near.csv").symlink_to(inside / "plain.csv")
    plain = f"deployment: {{type: single-device, {AGENT}}}\n"
    made = export_of("compose", inside, plain, include=["data/*.csv"])
    assert "manifest/data/near.csv" in [page.name for page in made.pages]
    (inside / "data" / "far.csv").symlink_to(outside / "secret.csv")
    (inside / "folder").symlink_to(outside)
    for pattern in ("data/*.csv", "folder/*"):
        with pytest.raises(UsageError, match="is a link out of the folder"):
            export_of("compose", inside, plain, include=[pattern])
    tools = "[{name: one, use: database, path: data/far.csv}, {name: two, use: database, path: folder}]"
    agents = "[{name: a, tools: [one, two], instructions: Help., reflex: [{say: hello}]}]"
    made = export_of("compose", inside, f"deployment: {{type: single-device, tools: {tools}, agents: {agents}}}\n")
    assert not [page.name for page in made.pages if page.name.endswith(".csv")]
    assert f"tool.one reads {inside}/data/far.csv" in notes(made) and "tool.two reads " in notes(made)


def test_the_modules_that_code_imports_go_with_it(tmp_path: Path) -> None:
    """By any way of importing, from packages too; not those that are installed, and a circle ends."""
    files = {
        "tool.py": "import json\nimport one.two as t\nfrom pack import inner\nfrom one import three\n",
        "one/__init__.py": "",
        "one/two.py": "from . import four\nfrom .five import x\nimport tool\n",
        "one/three.py": "",
        "one/four.py": "",
        "one/five.py": "def broken(:\n",
        "pack/__init__.py": "",
        "pack/inner.py": "from ..one import four\n",
        "unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [path.relative_to(tmp_path).as_posix() for path in modules_of("tool", [tmp_path])]
    assert found == sorted({*files} - {"unused.py"})


def test_models_that_no_container_finds_are_told_each_in_its_way(tmp_path: Path) -> None:
    """Looked for, in a folder, at an address of the machine itself, started, behind a keyring."""
    models = [
        "{alias: phi-4-mini, primary: true, tasks: [routing]}",
        "{alias: folder, provider: onnx, model: some-model}",
        '{alias: near, provider: vllm, model: m, endpoint: "http://localhost:8000"}',
        "{alias: started, provider: ollama, model: m, server: {}}",
        '{alias: far, provider: openai, model: m, endpoint: "https://api.example.org/v1", api_key: "keyring:far"}',
    ]
    agents = [
        f"{{name: a{n}, model: {m}, instructions: Help.}}" for n, m in enumerate(["near", "started", "far", "folder"])
    ]
    text = f"deployment: {{type: single-device, models: [{', '.join(models)}], agents: [{', '.join(agents)}]}}\n"
    told = notes(export_of("kubernetes", tmp_path, text))
    assert "from inside of a container (phi-4-mini): set ORCHESTRATOR_SERVERS" in told
    assert "folder is read from a folder: mount it, and set ONNX_MODELS" in told
    assert "the endpoint of near, http://localhost:8000, is the container itself" in told
    assert "the server of started is started inside of the container: the image must have ollama" in told
    assert 'for "keyring:far": write "env:NAME" in the manifest' in told


def test_the_port_is_the_one_that_the_runtime_takes() -> None:
    """It is written twice, as the floor of exports is below that of settings."""
    assert PORT == DEFAULT_PORT


@pytest.mark.parametrize("engine", ["kubernetes", "compose", "systemd"])
@pytest.mark.parametrize("name", ["shop", "fleet"])
def test_an_export_is_the_same_each_time(engine: str, name: str) -> None:
    """Byte for byte."""
    assert case(engine, name) == case(engine, name)


def test_the_order_of_the_environment_changes_nothing(tmp_path: Path) -> None:
    """Variables are sorted."""
    path = tmp_path / "made.yaml"
    path.write_text(f'deployment: {{type: single-device, {AGENT}, people: {{say: "${{B}} ${{A}}"}}}}\n')
    one, other = (exported("compose", gathered(path, each)) for each in ({"A": "1", "B": "2"}, {"B": "2", "A": "1"}))
    assert one == other


@given(st.text(min_size=1, max_size=80))
def test_any_name_becomes_one_that_an_engine_takes(text: str) -> None:
    """And stays as it is where it fits."""
    label = dns_label(text)
    assert is_dns_label(label) and len(label) <= LONGEST
    assert dns_label(label) == label


@given(st.lists(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}[A-Za-z0-9]\Z"), min_size=2, max_size=2, unique=True))
def test_no_two_names_become_one(names: list[str]) -> None:
    """Also those that differ only in what a label cannot hold."""
    assert dns_label(names[0]) != dns_label(names[1])


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("site", "milan-2", True),
        ("site", "", True),
        ("example.org/site", "a", True),
        ("Example.org/site", "a", False),
        ("/site", "a", False),
        ("site!", "a", False),
        ("site", "a b", False),
        ("site", "x" * 64, False),
    ],
)
def test_labels_are_those_that_kubernetes_takes(key: str, value: str, fits: bool) -> None:
    """As its documentation says."""
    assert is_label(key, value) is fits
