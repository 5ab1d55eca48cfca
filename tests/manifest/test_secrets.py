"""A secret in a manifest is refused and never shown: not in the message, not in the excerpt."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from orchestrator.manifest.spec.agent import AgentEntry
from tests.manifest.golden import refusal, resolved, said

HEAD = "deployment:\n  type: single-device\n  agents: [orders]\n"
SECRETS = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "glpat-abcdefghij0123456789",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "AIza" + "Sy0123456789abcdefghijABCDEFGHIJ_-x",
    "xoxb-1234567890-abcdefghijkl",
    ".".join(
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "n": n}).encode()).decode().strip("=") for n in (1, 2)
    )
    + ".sig",
]
SECRET_CODES = {"ORC230", "ORC231"}
HOLDERS = [
    "# {}",
    "x-note: {}",
    "metadata: {{labels: {{note: '{}'}}}}",
    "unknown_key: {}",
    "metadata: {{name: '{}'}}",
    "apiVersion: {}",
]


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_known_kind_of_secret_is_refused_wherever_it_stands(
    secret: str, holder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where something else is wrong in the same place; neither its whole nor its beginning is told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(HEAD + holder.format(secret) + "\n")
    error = refusal(["shop.yaml"])
    shown = said(error) + json.dumps([one.as_json() for one in error.diagnostics]) + str(error.sources)
    assert secret[:12] not in shown
    assert error.diagnostics


@pytest.mark.parametrize(
    "line",
    [
        "x-note: http://user:hunter2@host",
        "x-note: http://:hunter2{5}-x@host",
        "x-note: http://user:hun{ter2}@host:1/v1",
        "x-note: http://user:{5}hunter2@host",
        "x-note: 'http://user:hunter2''s@host'",
        'x-note: "http://user:hunter2\\"s@host"',
        "x-note: http://us'er:hunter2@host",
        "x-note: http://user:hunter2$@host",
        "x-note: http://user:$hunter2@host",
        "x-note: http://user:$$hunter2@host",
        "x-note: http://user:p@hunter2@host",
        "x-note: http://user:${PW:-hunter2-x}@host",
        "# see http://user:it's{hunter2$}@host",
        "x-note: ['http://shop.example:80','http://user:hunter2@host']",
    ],
)
def test_a_password_in_an_address_is_refused_whatever_it_is_made_of(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes, braces and dollars are letters of it, and nothing of it is shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(HEAD + line + "\n")
    error = refusal(["shop.yaml"])
    assert [(one.code, one.message) for one in error.diagnostics] == [
        ("ORC231", "this looks like a password in an address")
    ]
    assert "hunter2" not in said(error) + str(error.sources)


@pytest.mark.parametrize(
    "line",
    [
        "x-a: {password: hunter2}",
        "x-a: {api_key: 'hunter2'}",
        'x-a: {apiKey: "hunter2"}',
        "x-a: [{b: {PASSWD: hunter2}}]",
        "x-password: {passphrase: hunter2 staple}",
        "metadata: {labels: {password: hunter2}}",
        "# password: hunter2hunter2",
        "# pwd=hunter2!",
        "x-note: 'api-key = \"hunter2\"'",
        'x-a: "Authorization: Bearer hunter2ijklmnop1234567890"',
        "# bearer hunter2ijklmnop1234567890",
        "  tools: [{name: t, use: clock}]\n  # the password: hunter2",
    ],
)
def test_what_stands_after_the_word_password_is_refused_and_not_shown(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, also where it would be found in two ways."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(HEAD + line + "\n")
    error = refusal(["shop.yaml"])
    assert [one.code for one in error.diagnostics] == ["ORC231"]
    assert "hunter2" not in said(error) + str(error.sources)
    assert error.diagnostics[0].place is not None and error.diagnostics[0].place.line > 3


def test_a_password_in_instructions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for them may be told it."""
    monkeypatch.chdir(tmp_path)
    text = "deployment: {type: single-device, agents: [{name: a, instructions: 'the password: hunter2hunter2'}]}\n"
    (tmp_path / "shop.yaml").write_text(text)
    error = refusal(["shop.yaml"])
    assert [(one.code, str(one.place)) for one in error.diagnostics] == [("ORC231", "shop.yaml:1:83")]
    assert "hunter2" not in said(error) + str(error.sources)


def test_the_secret_of_a_notifier_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like an api_key."""
    monkeypatch.chdir(tmp_path)
    notify = "{webhook: {url: 'https://chat.example/x', secret: staple}}"
    (tmp_path / "shop.yaml").write_text(HEAD + f"  people: {{notify: {notify}}}\n")
    error = refusal(["shop.yaml"])
    assert "ORC230" in [one.code for one in error.diagnostics]
    assert "staple" not in said(error) + str(error.sources)


@pytest.mark.parametrize("value", ["hunter2", "12345678", "{a: [hunter3]}", "correct horse battery staple"])
def test_whatever_stands_under_api_key_is_not_shown(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only references may stand there."""
    monkeypatch.chdir(tmp_path)
    text = f"deployment:\n  type: single-device\n  models:\n    - alias: phi-4-mini\n      api_key: {value}\n"
    (tmp_path / "shop.yaml").write_text(text)
    error = refusal(["shop.yaml"])
    assert [one.code for one in error.diagnostics] == ["ORC230"]
    assert value not in said(error) and "hunter3" not in said(error)


@pytest.mark.parametrize(
    "line",
    [
        "x-token: ${TOKEN}",
        "x-secret: env:SHOP_SECRET_2",
        "x-password: correct-horse-battery-staple",
        "x-max_tokens: 123456789012345",
        "x-key: see the wiki page about keys, section 4",
        "x-tokenizer: Qwen2.5-0.5B-Instruct",
        "# the api key stands in the vault",
        "x-address: https://example.org/path?user=7",
        "metadata: {name: task-runner-skills}",
        """x-notes: ["http://shop.example:80","a@b.example"]""",
        """x-notes: {'a':'http://shop.example:80','b':'x:y@b.example'}""",
        "x-note: http://{user}:{password}@host or http://$USER:$PASSWORD@host or http://<user>:<your password>@host",
        "# http://user:${DOOR_PASSWORD}@host",
        "x-note: 'http://user:{{password}}@host'",
        "x-a: {password: 'env:SHOP_PASSWORD_1', api_key: 'file:/run/key1', passwd: '{{ word1 }}'}",
        "x-a: {password: '${PASSWORD_1:-}', api_key: <your key 1>, passphrase: '********', PASSWORD: null, passwd: true}",
        "x-a: {properties: {password: {type: string}}}",
        "# password: see the vault, page 12",
        "# the password: required; password: min. 12 characters; pwd=/srv/app2; pwd=$PWD2",
        "# password: https://vault.example/1, api_key: env:SHOP_KEY_2, apikey=<key-1>, password: {{ word1 }}",
        "x-note: a bearer of 12 letters, Bearer authentication-header, Bearer ${TOKEN_1234567890123}",
    ],
)
def test_everyday_texts_are_no_secrets(line: str, tmp_path: Path) -> None:
    """Words, references and version names pass."""
    (tmp_path / "shop.yaml").write_text(HEAD + line + "\n")
    found = resolved(str(tmp_path / "shop.yaml"))
    assert [each.name for each in found.manifest.deployment.agents if isinstance(each, AgentEntry)] == ["orders"]
    assert not SECRET_CODES & {one.code for one in found.diagnostics}


def test_a_secret_in_a_prompt_file_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are kept with the manifest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompt.md").write_text(f"Use {SECRETS[0]} to call.\n")
    (tmp_path / "shop.yaml").write_text(
        "deployment: {type: single-device, agents: [{name: a, instructions: 'file:prompt.md'}]}\n"
    )
    error = refusal(["shop.yaml"])
    assert [(one.code, str(one.place)) for one in error.diagnostics] == [("ORC231", "file:prompt.md:1:5")]
    assert SECRETS[0][:12] not in said(error)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("agents: [{name: a, instructions: 'Say ${DOOR_TOKEN}.'}]", "DOOR_TOKEN", SECRETS[0]),
        ("models: [{alias: phi-4-mini, endpoint: 'http://user:${PW}@host:1'}]", "PW", "hunter2-hunter2"),
        ("models: [{alias: phi-4-mini, endpoint: 'http://user:${PW}@host:1'}]", "PW", "it's{5}$"),
        ("models: [{alias: phi-4-mini, endpoint: 'http://:${PW}@host:1'}]", "PW", "hunter2-hunter2"),
        ("models: [{alias: phi-4-mini, endpoint: '${PW}'}]", "PW", "http://user:hunter2-hunter2@host:1"),
        ("models: [{alias: phi-4-mini, api_key: '${DOOR_TOKEN}'}]", "DOOR_TOKEN", SECRETS[2]),
        ("agents: [{name: a, instructions: 'sk-${HALF}'}]", "HALF", SECRETS[0][3:]),
    ],
)
def test_a_secret_does_not_come_in_by_a_variable(
    line: str, name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is named, its value is not, and the cure says how to refer to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(f"deployment:\n  type: single-device\n  {line}\n")
    error = refusal(["shop.yaml"], {name: value})
    assert [one.code for one in error.diagnostics] == ["ORC231"]
    assert f"the variable {name} " in said(error) and f"env:{name}" in said(error)
    assert value[:8] not in said(error) + str(error.sources)


def test_everyday_variables_are_no_secrets(tmp_path: Path) -> None:
    """An address with a port, a word under a key-ish name."""
    (tmp_path / "shop.yaml").write_text(
        "deployment:\n  type: single-device\n  agents: [{name: a, instructions: 'See ${SITE} with the token ${WORD}.'}]\n"
    )
    environment = {"SITE": "http://shop.example:80/a@b", "WORD": "of-the-household"}
    (agent,) = resolved(str(tmp_path / "shop.yaml"), environment=environment).manifest.deployment.agents
    assert isinstance(agent, AgentEntry)
    assert agent.instructions == "See http://shop.example:80/a@b with the token of-the-household."
