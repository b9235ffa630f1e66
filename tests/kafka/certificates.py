"""Certificates for a test cluster: an authority, a server on loopback, a client, and an authority nobody trusts.

Owns the files and their making. PEM throughout, which Kafka and librdkafka both read: no keytool, no openssl.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = dt.timedelta(days=2)
_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
PASSWORD = "correct horse"


class Authority(NamedTuple):
    """Signs certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


class Certificates(NamedTuple):
    """Files in PEM. `server` holds the private key too, as Kafka wants it."""

    authority: Path
    other_authority: Path
    server: Path
    client: Path
    client_key: Path
    stranger: Path
    """A client's certificate of the other authority."""
    stranger_key: Path
    elsewhere: Path
    """A server's certificate for another host's name, with its key."""
    expired: Path
    """A server's certificate that has expired, with its key."""
    locked_key: Path
    """The client's key, encrypted with `PASSWORD`."""


def make_certificates(directory: Path, client: str) -> Certificates:
    """Make all of them anew. `client` is the common name in the client's certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Certificates(*(directory / f"{name.replace('_', '-')}.pem" for name in Certificates._fields))
    trusted, other = _authority("tests"), _authority("somebody else")
    made.authority.write_bytes(_certificate_pem(trusted.certificate))
    made.other_authority.write_bytes(_certificate_pem(other.certificate))
    key, certificate = _signed(trusted, "server")
    made.server.write_bytes(_key_pem(key) + _certificate_pem(certificate))
    for by, where, where_key in ((trusted, made.client, made.client_key), (other, made.stranger, made.stranger_key)):
        key, certificate = _signed(by, client)
        where.write_bytes(_certificate_pem(certificate))
        where_key.write_bytes(_key_pem(key))
        if by is trusted:
            made.locked_key.write_bytes(_key_pem(key, PASSWORD))
    for where, about in ((made.elsewhere, {"host": "registry.example"}), (made.expired, {"age": 2 * LIFETIME})):
        key, certificate = _signed(trusted, "server", **about)
        where.write_bytes(_key_pem(key) + _certificate_pem(certificate))
    for private in (made.server, made.client_key, made.stranger_key, made.elsewhere, made.expired, made.locked_key):
        private.chmod(0o600)
    return made


def _authority(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _signed(
    authority: Authority, name: str, host: str | None = None, age: dt.timedelta = dt.timedelta(hours=1)
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    here: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    if host is not None:
        here = [x509.DNSName(host)]
    builder = _builder(_name(name), authority.certificate.subject, key, authority.key, age)
    certificate = builder.add_extension(x509.SubjectAlternativeName(here), critical=False)
    return key, certificate.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    age: dt.timedelta = dt.timedelta(hours=1),
) -> x509.CertificateBuilder:
    """With what strict readers, such as Python 3.13's, want to find in a certificate."""
    begins = dt.datetime.now(dt.UTC) - age
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey, password: str | None = None) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        lock = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, form, lock)
