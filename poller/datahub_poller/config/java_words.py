"""Kafka's settings as Java clients write them, in librdkafka's words: logins in JAAS, MSK's IAM, PEM files. Pure.

DataHub's charts and guides give every container Java's words. What has no counterpart is told with the remedy; no
message holds a value, since it might be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from datahub_poller.config.jaas import Login, logins
from datahub_poller.config.problems import Problem
from datahub_poller.msk import Identity, auth_properties

PREFIX: Final = "kafka.properties."
"""Before properties in Spring's files of DataHub."""

JAAS: Final = "sasl.jaas.config"
_HANDLERS: Final[tuple[str, ...]] = (
    "sasl.client.callback.handler.class",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
)
_MECHANISMS: Final = ("sasl.mechanism", "sasl.mechanisms")
_IAM_MECHANISM: Final = "AWS_MSK_IAM"
_IAM_MODULE: Final = "IAMLoginModule"
_IAM_HANDLERS: Final = frozenset({"IAMClientCallbackHandler", "IAMOAuthBearerLoginCallbackHandler"})
_OIDC_MODULE: Final = "OAuthBearerLoginModule"
_OIDC_HANDLER: Final = "OAuthBearerLoginCallbackHandler"
_IAM_OPTIONS: Final[Mapping[str, str]] = {
    "awsRoleArn": "role",
    "awsRoleExternalId": "external_id",
    "awsRoleSessionName": "session_name",
    "awsProfileName": "profile",
    "awsStsRegion": "sts_region",
}
_IAM_WITHOUT_EFFECT: Final = frozenset({"awsDebugCreds", "awsMaxRetries", "awsMaxBackOffTimeMs"})
_OIDC_OPTIONS: Final[Mapping[str, str]] = {
    "clientId": "sasl.oauthbearer.client.id",
    "clientSecret": "sasl.oauthbearer.client.secret",
    "scope": "sasl.oauthbearer.scope",
}
_PASSWORD_OPTIONS: Final[Mapping[str, str]] = {"username": "sasl.username", "password": "sasl.password"}
_NAMES: Final[Mapping[str, str]] = {
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
}
_PEM_SUFFIXES: Final = (".pem", ".crt", ".cer")
_PKCS12_SUFFIXES: Final = (".p12", ".pfx", ".pkcs12")


class Translated(NamedTuple):
    """Properties without Java's words, and what could not be translated, by the keys as they were given."""

    properties: dict[str, Any]
    problems: list[Problem]


def translated(given: Mapping[str, Any]) -> Translated:
    """All of these properties at once: what one of them means hangs on others."""
    properties = {_NAMES.get(key, key): value for key, value in given.items()}
    problems = [*_stores(properties), *_logins(properties)]
    return Translated(properties, problems)


def without_prefix(given: Mapping[str, Any]) -> Translated:
    """The properties by their plain names."""
    problems = [
        Problem((key,), f"says again what {key.removeprefix(PREFIX)} says", "Keep one of them.")
        for key in given
        if key.startswith(PREFIX) and key.removeprefix(PREFIX) in given
    ]
    return Translated({key.removeprefix(PREFIX): value for key, value in given.items()}, problems)


# -- logins


def _logins(properties: dict[str, Any]) -> Iterator[Problem]:
    handlers = {key: _short(properties[key]) for key in _HANDLERS if key in properties}
    login = None
    if (text := properties.get(JAAS)) is not None:
        try:
            login = _only(logins(str(text)))
        except ValueError as error:
            del properties[JAAS]
            yield Problem((JAAS,), f"is not JAAS: {error}", 'Write: a.LoginModule required username="u" password="p";')
            return
    if _is_iam(properties, login, handlers):
        yield from _iam(properties, login, handlers)
    elif login is not None:
        yield from _login(properties, login, handlers)


def _only(found: list[Login]) -> Login:
    if len(found) != 1:
        raise ValueError(f"it must hold one login module, and holds {len(found)}")
    return found[0]


def _is_iam(properties: Mapping[str, Any], login: Login | None, handlers: Mapping[str, str]) -> bool:
    return (
        any(str(properties.get(key, "")).strip().upper() == _IAM_MECHANISM for key in _MECHANISMS)
        or (login is not None and _short(login.module) == _IAM_MODULE)
        or not _IAM_HANDLERS.isdisjoint(handlers.values())
    )


def _iam(properties: dict[str, Any], login: Login | None, handlers: Mapping[str, str]) -> Iterator[Problem]:
    found: dict[str, str] = {}
    for option, value in ({} if login is None else login.options).items():
        if option in _IAM_OPTIONS and value.split() == [value]:
            found[_IAM_OPTIONS[option]] = value
        elif option in _IAM_OPTIONS:
            yield Problem((JAAS,), f"has an empty {option}, or one with blanks", "Write the value without blanks.")
        elif option not in _IAM_WITHOUT_EFFECT:
            yield Problem(
                (JAAS,), f"has {option}, which has no counterpart", "Give AWS's credentials in its usual ways."
            )
    for key in (JAAS, *_MECHANISMS, *(key for key, name in handlers.items() if name in _IAM_HANDLERS)):
        properties.pop(key, None)
    properties |= auth_properties(Identity(**found))


def _login(properties: dict[str, Any], login: Login, handlers: Mapping[str, str]) -> Iterator[Problem]:
    name = _short(login.module)
    match name:
        case "ScramLoginModule" | "PlainLoginModule":
            options = _PASSWORD_OPTIONS
        case "OAuthBearerLoginModule" if _OIDC_HANDLER in handlers.values():
            options = _OIDC_OPTIONS
            properties["sasl.oauthbearer.method"] = "oidc"
            for key in [key for key, handler in handlers.items() if handler == _OIDC_HANDLER]:
                del properties[key]
        case _:
            del properties[JAAS]
            yield Problem((JAAS,), f"names {name}, which has no counterpart", _instead_of(name))
            return
    del properties[JAAS]
    for option, key in options.items():
        if option in login.options:
            properties.setdefault(key, login.options[option])


def _instead_of(module: str) -> str:
    if module == "Krb5LoginModule":
        return "Kerberos is not in this client: use SCRAM, OAUTHBEARER or a client certificate."
    if module == _OIDC_MODULE:
        return "Set oauth_cb to module:function, or sasl.oauthbearer.method: oidc and what goes with it."
    return "Set sasl.username and sasl.password, or oauth_cb."


# -- stores of certificates


def _stores(properties: dict[str, Any]) -> Iterator[Problem]:
    trust = "ssl.truststore.location"
    kind = str(properties.pop("ssl.truststore.type", "")).strip().upper()
    if (path := properties.get(trust)) is not None:
        del properties[trust]
        properties.pop("ssl.truststore.password", None)
        match _kind(str(path), kind):
            case "PEM":
                properties.setdefault("ssl.ca.location", path)
            case "PKCS12":
                what = "is a PKCS#12 store, of which librdkafka takes no CA certificates"
                yield Problem((trust,), what, _then("openssl pkcs12 -in FILE -nokeys -out ca.pem"))
            case _:
                what = "is a Java key store, which librdkafka cannot read"
                yield Problem((trust,), what, _then("keytool -list -rfc -keystore FILE > ca.pem"))
    keys = "ssl.keystore.location"
    kind = str(properties.pop("ssl.keystore.type", "")).strip().upper()
    if (path := properties.get(keys)) is None:
        return
    match _kind(str(path), kind):
        case "PEM":
            del properties[keys]
            properties.pop("ssl.keystore.password", None)
            properties.setdefault("ssl.certificate.location", path)
            properties.setdefault("ssl.key.location", path)
        case "JKS":
            del properties[keys]
            properties.pop("ssl.keystore.password", None)
            convert = "keytool -importkeystore -srckeystore FILE -destkeystore client.p12 -deststoretype PKCS12"
            remedy = f"Convert it: {convert}; then set {keys} to client.p12, and ssl.keystore.password."
            yield Problem((keys,), "is a Java key store, which librdkafka cannot read", remedy)


def _then(command: str) -> str:
    return f"Convert it: {command}; then set ssl.ca.location to ca.pem."


def _kind(path: str, kind: str) -> str:
    """The kind of store: as it is said to be, else by its name; a Java key store where neither tells."""
    if kind:
        return kind
    name = path.strip().lower()
    if name.endswith(_PEM_SUFFIXES):
        return "PEM"
    return "JKS" if name.endswith(".jks") else "PKCS12" if name.endswith(_PKCS12_SUFFIXES) else ""


def _short(name: object) -> str:
    """A class without its package."""
    return str(name).strip().rpartition(".")[2]
