"""Writer schemas from the AWS Glue Schema Registry.

Uses the registry library's client and boto3 for one question, a schema version by its UUID: no deserializer, no
cache. Both are imported when they are needed. A version that is being deleted is still handed out, since records
written with it may still be in the log.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING, Any, Final

from datahub_poller.aws import Account, about_credentials, code_of, detail_of
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import SchemaKey
from datahub_poller.proxies import AWS_REMEDY, is_proxys

if TYPE_CHECKING:
    from aws_schema_registry.schema import SchemaVersion

_NOBODY: Final = SchemaKey("glue", str(uuid.UUID(int=0)))


class GlueRegistry:
    """`timeout` is in seconds, for connecting and for reading each. Without a region the AWS environment's is taken."""

    def __init__(
        self,
        region: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        timeout: float = 5.0,
        role: str | None = None,
        external_id: str | None = None,
    ) -> None:
        self._account = Account(region, endpoint, profile, timeout, role, external_id)
        self._place = "the AWS Glue schema registry" + (f" at {endpoint}" if endpoint else "")
        self._lock = threading.Lock()
        self._made: Any = None

    def __repr__(self) -> str:
        return f"GlueRegistry({self._place})"

    def fetch(self, key: SchemaKey) -> FetchedSchema:
        """One request, two for a version that is being deleted. Raises SchemaNotFound, Transient, Poison."""
        try:
            return self._fetched(uuid.UUID(str(key.id)))
        except (SchemaNotFound, Transient, Poison):
            raise
        except Exception as error:  # noqa: BLE001 - botocore's kinds have no common root with the library's
            raise self._reason(error) from None

    def ask_again(self, key: SchemaKey) -> FetchedSchema:
        """The same: nothing is remembered."""
        return self.fetch(key)

    def reach(self) -> str:
        """Ask for a version that nobody has. Raises Transient."""
        with contextlib.suppress(SchemaNotFound, Poison):
            self.fetch(_NOBODY)
        return f"{self._place} answers"

    def prepare(self) -> None:
        """Import the library and make boto3's client: half a second."""
        import aws_schema_registry  # noqa: F401, PLC0415 - slow, and only now

        self._client()

    def _fetched(self, version: uuid.UUID) -> FetchedSchema:
        from aws_schema_registry import SchemaRegistryClient  # noqa: PLC0415 - slow, and only now
        from aws_schema_registry.exception import SchemaRegistryException  # noqa: PLC0415 - as above

        glue = self._client()
        try:
            found: SchemaVersion = SchemaRegistryClient(glue).get_schema_version(version)
        except SchemaRegistryException as error:
            if error.__cause__ is None:
                return self._unavailable(glue, version)
            if code_of(error.__cause__) == "EntityNotFoundException":
                raise SchemaNotFound(f"{self._place} has no schema version {version}") from None
            raise self._reason(error.__cause__) from None
        return _avro(found.data_format, found.definition)

    def _unavailable(self, glue: Any, version: uuid.UUID) -> FetchedSchema:
        """The library refuses every status but AVAILABLE, without a cause."""
        found = glue.get_schema_version(SchemaVersionId=str(version))
        status = found.get("Status")
        if status not in ("DELETING", "AVAILABLE"):
            raise Transient(f"{self._place} has schema version {version} as {status}")
        return _avro(found["DataFormat"], found["SchemaDefinition"])

    def _reason(self, error: BaseException) -> Transient:
        code = code_of(error)
        if (refused := self._account.why_not_assumed(error)) is not None:
            return Transient(f"{self._place} cannot be asked: {refused}")
        if is_proxys(code):
            return Transient(
                f"{self._place} cannot be asked: a proxy is away or refuses: {AWS_REMEDY}: {detail_of(error)}"
            )
        remedy = ": see the AWS credentials, region and profile" if about_credentials(code) else ""
        if code in ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"):
            remedy = ": the role needs glue:GetSchemaVersion on all schemas, and valid credentials"
        return Transient(f"{self._place} cannot be asked ({code}){remedy}: {error}")

    def _client(self) -> Any:
        """Calls of a client are safe from several threads, making one is not."""
        with self._lock:
            if self._made is None:
                self._made = self._account.client("glue")
            return self._made


def _avro(data_format: str, definition: str) -> FetchedSchema:
    if data_format != "AVRO":
        raise Poison("unusable_schema", f"the writer schema is {data_format}, not Avro")
    return FetchedSchema(definition)
