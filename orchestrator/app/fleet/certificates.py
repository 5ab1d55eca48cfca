"""The certificates of a fleet: one authority of its own, and a certificate for each node that it signs.

A node's certificate is for clients only, so that no node can pass for a hub; a hub's is also for servers, and has the name ``hub``
beside its addresses. The link between servers is TLS 1.3 with both sides checked.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orchestrator.app.fleet.keys import write_private
from orchestrator.core.fleet_errors import FleetError
from orchestrator.plugins.secrets import read_private

NODE_DAYS: Final = 90
AUTHORITY_DAYS: Final = 3650
RENEW_DAYS: Final = 30
"""A certificate that is valid for less than this is renewed."""
HUB_NAME: Final = "hub"
"""The name that every certificate of a hub has, and no other."""
_EARLY: Final = timedelta(hours=1)
"""By how much a clock may be behind that looks at a fresh certificate."""


class Authority:
    """The private certificate authority of a fleet: its certificate and the key to it."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def new(cls, fleet: str) -> Authority:
        """A fresh one."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = _name(f"orchestrator fleet {fleet}")
        builder = (
            _builder(name, now, AUTHORITY_DAYS)
            .subject_name(name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Authority:
        """From their files. Raises ``DeployError``."""
        return cls(read_certificate(certificate), _read_key(key))

    def write(self, certificate: Path, key: Path) -> None:
        """Into their files, for nobody else to read."""
        write_private(certificate, pem(self.certificate))
        write_private(key, _key_text(self._key))

    def sign(self, request: str, node: str, addresses: tuple[str, ...] = ()) -> str:
        """A certificate (PEM) for the key of a signing request. What it says beside its key is not taken over: the name is
        ``node``. With ``addresses`` it is a hub's. Raises ``FleetError`` for what is no request."""
        try:
            wanted = x509.load_pem_x509_csr(request.encode())
        except ValueError as error:
            raise FleetError("the signing request cannot be read") from error
        if not wanted.is_signature_valid:
            raise FleetError("the signing request is not signed by its own key")
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if addresses else [])]
        names = [x509.DNSName(node), *([x509.DNSName(HUB_NAME)] if addresses else []), *map(_general, addresses)]
        builder = (
            _builder(self.certificate.subject, datetime.now(UTC), NODE_DAYS)
            .subject_name(_name(node))
            .public_key(wanted.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return pem(builder.sign(self._key, hashes.SHA256()))


def new_request(key: Path, node: str) -> str:
    """A fresh key in that file, and the signing request for it (PEM)."""
    private = ec.generate_private_key(ec.SECP256R1())
    write_private(key, _key_text(private))
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(node)).sign(private, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(certificate: x509.Certificate) -> bytes:
    """By what a certificate is known: the SHA-256 of its DER form."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def read_pem(text: str) -> x509.Certificate:
    """From its text. Raises ``FleetError``."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise FleetError("what was sent as a certificate is none") from error


def read_certificate(file: Path) -> x509.Certificate:
    """From its file. Raises ``DeployError``."""
    return read_pem(read_private(f"the certificate {file.name}", file))


def pem(certificate: x509.Certificate) -> str:
    """Its text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def check_issued(certificate: x509.Certificate, authority: x509.Certificate, node: str) -> None:
    """Raises ``FleetError`` unless the authority has signed it for this node."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise FleetError("the certificate is not of this fleet's authority") from error
    if certificate.subject != _name(node):
        raise FleetError(f"the certificate is not for {node}")


def belongs(key: Path, certificate: x509.Certificate) -> bool:
    """Whether the key in that file is the certificate's. Raises ``DeployError``."""
    return _read_key(key).public_key() == certificate.public_key()


def days_left(certificate: x509.Certificate) -> float:
    """For how many days it is still valid; below zero where it is no more."""
    return (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def _builder(issuer: x509.Name, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(form, kind, serialization.NoEncryption()).decode()


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private(f"the key {file.name}", file).encode(), password=None)
    except ValueError as error:
        raise FleetError(f"{file} holds no key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FleetError(f"{file} holds a key of another sort")
    return key
