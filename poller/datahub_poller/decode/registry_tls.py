"""TLS to a Confluent-compatible registry: which authorities are trusted, and what goes wrong with it in words.

Knows the client's `ssl.*` keys and the environment's variables. Reads no secrets; looks at files only to say which
of them is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

CA: Final = "ssl.ca.location"
CERTIFICATE: Final = "ssl.certificate.location"
KEY: Final = "ssl.key.location"
PASSWORD: Final = "ssl.key.password"  # noqa: S105 - a key's name
SEE: Final = "see `schema_registry_config`"

_CLIENTS_OWN: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that the client reads by itself."""
_OF_REQUESTS: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that the `requests` library reads, and this client does not."""
_MISMATCH: Final = ("Hostname mismatch", "IP address mismatch", "doesn't match")
_WANTED: Final = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "ALERT_BAD_CERTIFICATE", "ALERT_NO_CERTIFICATE")
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
_NO_CERTIFICATE: Final = ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")


class Trust(NamedTuple):
    """The authorities that may sign the registry's certificate: a file or directory, and what names it."""

    named_by: str | None
    path: str | None

    def __str__(self) -> str:
        return "certifi's list of public authorities" if self.path is None else f"{self.path} ({self.named_by})"


def trusted(config: Mapping[str, Any], environ: Mapping[str, str]) -> Trust:
    """`ssl.ca.location`, else the first variable that is set, else certifi's list."""
    if CA in config:
        given = config[CA]
        return Trust(CA, given if isinstance(given, str) else None)
    for name in (*_CLIENTS_OWN, *_OF_REQUESTS):
        if environ.get(name):
            return Trust(name, environ[name])
    return Trust(None, None)


def settings(config: Mapping[str, Any], trust: Trust) -> dict[str, Any]:
    """What to add to the client's configuration."""
    more: dict[str, Any] = {}
    if trust.named_by in _OF_REQUESTS:
        more[CA] = trust.path
    if CERTIFICATE in config and PASSWORD not in config:
        more[PASSWORD] = ""  # without one, OpenSSL would ask at the terminal for that of an encrypted key
    return more


def unusable_files(error: BaseException, config: Mapping[str, Any], trust: Trust) -> str | None:
    """Why the client cannot use its certificates, with the key and the file; None where it is something else."""
    files = {str(trust.named_by): trust.path, CERTIFICATE: config.get(CERTIFICATE), KEY: config.get(KEY)}
    for name, path in files.items():
        if path is not None and (reason := _unreadable(str(path))) is not None:
            return f"{name}: {path}: {reason}"
    text = str(error)
    certificate, key = (f"{name} ({config.get(name)})" for name in (CERTIFICATE, KEY))
    if "KEY_VALUES_MISMATCH" in text:
        return f"{key} is not the key of {certificate}"
    if any(word in text for word in _NO_CERTIFICATE) and CERTIFICATE not in config:
        return f"{trust.named_by}: {trust.path} holds no certificate in PEM"
    if not _is_tls(error):
        return None
    if CERTIFICATE in config and KEY not in config:
        return f"{certificate} holds no private key: name its file with {KEY}"
    if CERTIFICATE in config:
        return f"{certificate} or {key} is not PEM, or {PASSWORD} is not the key's"
    return f"{trust.named_by}: {trust.path} is not PEM"


def refused_handshake(error: BaseException, config: Mapping[str, Any], trust: Trust) -> str | None:
    """Why there is no TLS connection, with the key to set; None where it is something else."""
    text = str(error)
    if not _is_tls(error):
        return None
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _distrusted(text, trust)
    if any(word in text for word in _NO_TLS):
        return "no TLS is spoken there: is `schema_registry_url` to begin with http://?"
    if CERTIFICATE not in config:
        if any(word in text for word in _WANTED):
            return f"it wants a client's certificate: set {CERTIFICATE} and {KEY} in `schema_registry_config`"
        return (
            f"the TLS connection was refused: {SEE} (ssl.*), {CERTIFICATE} and {KEY} if it wants a client's certificate"
        )
    if "ALERT" in text:
        return f"it does not accept the client's certificate of {CERTIFICATE} ({config[CERTIFICATE]}): {SEE}"
    return f"the TLS connection failed: {SEE} (ssl.*)"


def _distrusted(text: str, trust: Trust) -> str:
    if any(word in text for word in _MISMATCH):
        return "its certificate is for another host's name: correct `schema_registry_url`, or the certificate"
    if "expired" in text:
        return "its certificate has expired: renew it at the registry (or set this machine's clock)"
    if "not yet valid" in text:
        return "its certificate is not valid yet: set this machine's clock, or look at the certificate"
    remedy = f"set {CA} in `schema_registry_config` to its authority's file (PEM)"
    return f"its certificate is not signed by an authority of {trust}: {remedy}"


def _is_tls(error: BaseException) -> bool:
    return "SSL" in type(error).__name__ or any(
        word in str(error) for word in ("[SSL", "[X509", "[PEM", "EOF occurred in")
    )


def _unreadable(path: str) -> str | None:
    try:
        if not Path(path).is_dir():
            Path(path).open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return None
