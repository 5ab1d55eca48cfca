"""Keys, signatures and tokens of a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.app.fleet.identity import node_name
from orchestrator.app.fleet.keys import OperatorKey, canonical, check_signature, read_seed
from orchestrator.app.fleet.token import Token
from orchestrator.core.errors import DeployError
from orchestrator.core.fleet_errors import FleetError, NotSigned, TokenRefused
from orchestrator.plugins.buses.nkey import NKey, is_public, verifies

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_the_operator_signed_is_known(value: object) -> None:
    key = OperatorKey.new()
    check_signature(key.public, value, key.sign(value))


def test_what_was_changed_or_signed_by_others_is_refused() -> None:
    key, signed = OperatorKey.new(), {"agents": ["a"], "name": "d"}
    signature = key.sign(signed)
    for public, value, by in (
        (key.public, {**signed, "agents": ["b"]}, signature),
        (OperatorKey.new().public, signed, signature),
        (key.public, signed, OperatorKey.new().sign(signed)),
        (key.public, signed, ""),
        (key.public, signed, "not base64!"),
        ("zz", signed, signature),
    ):
        with pytest.raises(NotSigned, match="not signed by the operator"):
            check_signature(public, value, by)


def test_one_value_has_one_writing() -> None:
    """The order of keys is none, and no space is left to choose."""
    assert canonical({"b": 1, "a": [1.5, None, "ä"]}) == '{"a":[1.5,null,"ä"],"b":1}'.encode()
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("nan"))


def test_the_operators_key_comes_back_from_its_file(tmp_path: Path) -> None:
    key = OperatorKey.new()
    key.write(tmp_path / "operator.key")
    assert (tmp_path / "operator.key").stat().st_mode & 0o777 == 0o600
    check_signature(key.public, "x", OperatorKey.read(tmp_path / "operator.key").sign("x"))
    (tmp_path / "operator.key").chmod(0o644)
    with pytest.raises(DeployError, match="others may read"):
        OperatorKey.read(tmp_path / "operator.key")


def test_an_nkey_has_the_forms_of_nats() -> None:
    """As the library `nkeys` reads the same seed."""
    seed = "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM"
    assert NKey.from_seed(seed).public == "UBQRQBKW2LPUL5HZSFHZ2ZZ4NYHJB3PSZG5PLFMALMOII3GERMM6BRJT"


def test_an_nkey_signs_and_hides_its_seed() -> None:
    key = NKey.new()
    assert verifies(key.public, key.sign("nonce"), b"nonce") and not verifies(key.public, key.sign("nonce"), b"other")
    assert not verifies(NKey.new().public, key.sign("nonce"), b"nonce")
    assert key.seed not in repr(key) and key.seed.startswith("SU") and key.public.startswith("U")
    assert NKey.from_seed(key.seed) == key


@pytest.mark.parametrize("text", ["", "U", "SUAB", "not base32!", "U" * 56])
def test_what_is_no_nkey_is_refused_without_telling_it(text: str) -> None:
    assert not is_public(text)
    with pytest.raises(ValueError, match=r"no (NKey|seed)") as told:
        NKey.from_seed(text)
    assert len(text) < 5 or text not in str(told.value)


def test_a_public_key_is_no_seed(tmp_path: Path) -> None:
    key = NKey.new()
    assert not is_public(key.seed)
    file = tmp_path / "link.seed"
    file.touch(mode=0o600)
    file.write_text(key.public)
    with pytest.raises(FleetError, match="no seed"):
        read_seed(file)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.integers(1, 65535))
def test_a_token_is_read_as_it_was_written(secret: bytes, fingerprint: bytes, port: int) -> None:
    token = Token((f"hub.example:{port}", "[fd00::1]:7423"), secret, fingerprint)
    assert Token.read(f"  {token.text()}\n") == token
    assert secret.hex() not in repr(token)


def test_a_token_with_a_slip_is_refused_before_anybody_is_asked() -> None:
    text = Token(("hub.example:7423",), bytes(range(16)), bytes(range(32))).text()
    slips = [
        text[:-1],
        text[:20] + ("A" if text[20] != "A" else "B") + text[21:],
        text[5:],
        "",
        "orc1-",
        "orc1-ä",
        text + "A",
    ]
    for slip in slips:
        with pytest.raises(TokenRefused, match="token"):
            Token.read(slip)


@pytest.mark.parametrize(
    ("host", "name"),
    [("Edge-1.local", "edge-1"), ("my_box", "my-box"), ("", "node-1"), ("---", "node-1"), ("hub", "node-1")],
)
def test_a_machine_gives_its_node_a_name(host: str, name: str) -> None:
    assert node_name(host) == name
