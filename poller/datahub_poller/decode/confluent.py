"""Writer schemas from a Confluent-compatible registry, DataHub's own in GMS among them.

Uses Confluent's client for its configuration, TLS and authentication, and for nothing else: no deserializer, no
retries and no cache of the client's, which `schemas` has better. The client is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from datahub_poller.decode import registry_tls
from datahub_poller.decode.registry_way import RegistryWay
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import SchemaKey
from datahub_poller.proxies import Proxy, proxy_of, without_credentials

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

REFERENCES_LIMIT: Final = 100
PREPARED: Final = 2
"""Clients made beforehand, one for each schema that there usually is: reading the certificates takes them 20 ms."""
HIGHEST_ID: Final = 2**31 - 1
_SECRET_KEYS: Final = ("basic.auth.user.info", "bearer.auth.token", "bearer.auth.client.secret", "ssl.key.password")
_REFUSALS: Final = frozenset({401, 403})
_NOT_FOUND: Final = 404
_SCHEMA_NOT_FOUND: Final = 40403  # the registry's own number: it did look for a schema
_SHORTEST_SECRET: Final = 3


class ConfluentRegistry:
    """`config` is DataHub's `schema_registry_config`: the client's own keys. `timeout` is in seconds, per request.

    `environ` is the process's, in which the client looks for a proxy by itself.
    """

    def __init__(
        self,
        url: str,
        config: Mapping[str, Any],
        timeout: float = 5.0,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._trust = registry_tls.trusted(config, environ if "https:" in url else {})
        more = registry_tls.settings(config, self._trust)
        self._config = {"timeout": timeout, "max.retries": 0, **more, **config, "url": url}
        self._place = "the schema registry " + ", ".join(map(without_credentials, url.split(",")))
        self._prepared: list[SchemaRegistryClient] = []
        proxy = _proxy(url, config, environ)
        self._way = RegistryWay(proxy and proxy[0], tunnel="http:" not in url)
        self._secrets = sorted(_secrets(url, config, "" if proxy is None else proxy[1]), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"ConfluentRegistry({self._place})"

    def fetch(self, key: SchemaKey) -> FetchedSchema:
        """By id or by GUID: one request, and one more for each reference. Raises SchemaNotFound, Transient, Poison."""
        return self._guarded(key.id)

    def ask_again(self, key: SchemaKey) -> FetchedSchema:
        """The same: nothing is remembered."""
        return self._guarded(key.id)

    def reach(self) -> str:
        """Ask for id 0, which DataHub's registry has and others do not. Raises Transient."""
        try:
            self._guarded(0)
        except (SchemaNotFound, Poison):
            return f"{self._place} answers"
        return f"{self._place} answers, and has schema id 0"

    def prepare(self) -> None:
        """Import the client, and make those of the first questions: a fifth of a second."""
        self._prepared += [self._made_client() for _ in range(PREPARED)]

    def _guarded(self, name: int | str) -> FetchedSchema:
        """Whatever the client raises for a question becomes one of our kinds, without secrets in it."""
        if isinstance(name, int) and name > HIGHEST_ID:  # asked for all the same, some registries call it a bad request
            raise SchemaNotFound(f"no registry has schema id {name}: ids end at {HIGHEST_ID}")
        try:
            with self._client() as client:
                return self._fetched(client, name)
        except (SchemaNotFound, Transient, Poison):
            raise
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise self._away("answers, but not as a schema registry does", error) from None
        except Exception as error:  # noqa: BLE001 - the client lets the errors of its HTTP library through
            told = registry_tls.refused_handshake(error, self._config, self._trust) or self._way.failed(error)
            raise self._away("gives no answer" + (f": {told}" if told else ""), error) from None

    def _fetched(self, client: SchemaRegistryClient, name: int | str) -> FetchedSchema:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415 - slow, and only now

        try:
            schema = client.get_schema(name) if isinstance(name, int) else client.get_schema_by_guid(name)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise SchemaNotFound(f"{self._place} has no {_described(name, error.error_code)}") from None
            raise self._refused(error) from None
        text = self._avro(schema)
        try:
            return FetchedSchema(text, tuple(self._referenced(client, schema, set())))
        except SchemaRegistryError as error:  # not found here is the registry's inconsistency, not the record's
            raise self._refused(error) from None

    def _referenced(
        self, client: SchemaRegistryClient, schema: Schema, seen: set[tuple[str | None, int | None]]
    ) -> Iterator[str]:
        """The texts that a schema refers to, each once, what they refer to themselves first."""
        for reference in schema.references or ():
            name = (reference.subject, reference.version)
            if name in seen:
                continue
            seen.add(name)
            if len(seen) > REFERENCES_LIMIT:
                raise Poison("unusable_schema", f"the writer schema has more than {REFERENCES_LIMIT} references")
            found = self._version(client, reference)
            yield from self._referenced(client, found, seen)
            yield self._avro(found)

    def _version(self, client: SchemaRegistryClient, reference: SchemaReference) -> Schema:
        if reference.subject is None or reference.version is None:
            raise Transient(f"{self._place} answers with a reference to nothing")
        return client.get_version(reference.subject, reference.version, deleted=True).schema

    def _avro(self, schema: Schema) -> str:
        if schema.schema_type not in (None, "AVRO"):
            raise Poison("unusable_schema", f"the writer schema is {schema.schema_type}, not Avro")
        if not isinstance(schema.schema_str, str):
            raise Transient(f"{self._place} answers without a schema: is it a schema registry?")
        return schema.schema_str

    def _refused(self, error: Any) -> Transient:
        status = error.http_status_code
        remedy = ": see `schema_registry_config` (basic.auth.user.info, bearer.auth.*)" if status in _REFUSALS else ""
        told = self._way.refused(status) or f"answers HTTP {status}{self._way.perhaps(status)}{remedy}"
        return Transient(self._masked(f"{self._place} {told}: {error.error_message}"))

    def _away(self, what: str, error: Exception) -> Transient:
        return Transient(f"{self._place} {what}: {type(error).__name__}: {self._masked(str(error))}")

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "********")
        return text

    def _client(self) -> SchemaRegistryClient:
        """A new one for every question: they are rare, and a connection kept for days is a dead one."""
        try:
            return self._prepared.pop()
        except IndexError:
            return self._made_client()

    def _made_client(self) -> SchemaRegistryClient:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - slow, and only now

        try:
            return SchemaRegistryClient(self._config)
        except Exception as error:  # noqa: BLE001 - a wrong key, a file that is not there, broken TLS
            files = registry_tls.unusable_files(error, self._config, self._trust)
            told = f"see `schema_registry_config`: {files}" if files else self._way.unusable(error)
            what = told or "see `schema_registry_url` and `schema_registry_config`"
            raise self._away(f"cannot be asked: {what}", error) from None


def _described(name: int | str, error_code: int | None) -> str:
    if isinstance(name, int):
        return f"schema id {name}"
    doubt = "" if error_code == _SCHEMA_NOT_FOUND else " (or knows no GUIDs at all, as DataHub's own and older ones)"
    return f"schema with the GUID {name}{doubt}"


def _proxy(url: str, config: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Proxy, str] | None:
    """The proxy on the way, and its URL with any credentials."""
    if given := config.get("proxy"):
        remedy = "correct `proxy` in `schema_registry_config`, or leave it out"
        return Proxy(without_credentials(str(given)), "`proxy` in `schema_registry_config`", remedy), str(given)
    for each in url.split(","):
        if (found := proxy_of(each, environ)) is not None:
            name, value = found
            remedy = f"correct {name} in the environment, or name the registry's host in NO_PROXY"
            return Proxy(without_credentials(value), name, remedy), value
    return None


def _secrets(url: str, config: Mapping[str, Any], proxy: str) -> Iterator[str]:
    """Every form in which a password could stand in an error's text. Taken from the URL generously: it may be wrong."""
    given = [str(config[key]) for key in _SECRET_KEYS if config.get(key)]
    given += [each.strip().rpartition("@")[0].rpartition("//")[2] for each in (*url.split(","), proxy)]
    for secret in given:
        for form in (secret, secret.partition(":")[2]):
            for text in (form, unquote(form)):
                if len(text) >= _SHORTEST_SECRET:
                    yield text
