"""A bucket: putting, getting, listing and deleting objects, each one request, and why S3 refuses one.

It must not know what is in an object, nor what its key says.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from datahub_poller.aws import Account
from datahub_poller.deadletter.aws_remedies import s3_remedy
from datahub_poller.deadletter.aws_service import Refused, Service

_TYPE: Final = "application/x-ndjson"
_GONE: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class Encryption(NamedTuple):
    """How objects are encrypted; `bucket` leaves that to the bucket's default. `key` is for `aws:kms`."""

    kind: Literal["bucket", "AES256", "aws:kms"] = "bucket"
    key: str | None = None

    def parameters(self) -> dict[str, str]:
        """What a put says of it."""
        if self.kind == "bucket":
            return {}
        key = {} if self.key is None else {"SSEKMSKeyId": self.key}
        return {"ServerSideEncryption": self.kind, **key}


BUCKETS_OWN: Final = Encryption()


class Bucket:
    """`setting` is the key of the action file that names the bucket. Everything raises Refused."""

    def __init__(
        self,
        account: Account,
        name: str,
        encryption: Encryption = BUCKETS_OWN,
        setting: str = "dead_letter.config.bucket",
    ) -> None:
        self.name = name
        self._service = Service(account, "s3")
        self._encryption = encryption
        self._setting = setting

    def address(self, key: str) -> str:
        """An object's, or a prefix's, for people."""
        return f"s3://{self.name}/{key}".rstrip("/")

    def why(self, error: Refused, right: str, prefix: str) -> str:
        """A refusal in words: what stands in the way and what to do. `right` is needed on what lies below `prefix`."""
        remedy = s3_remedy(error.code, right, f"arn:aws:s3:::{self.name}/{prefix}*", self._setting)
        return f"{error.code}: {remedy}. {error.said}" if remedy else f"{error.code}: {error.said}"

    def put(self, key: str, body: bytes) -> None:
        """Returns when the object is durable; S3 itself compares its content with the checksum that is sent."""
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
        self._service.ask(
            lambda s3: s3.put_object(
                Bucket=self.name,
                Key=key,
                Body=body,
                ContentType=_TYPE,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
                **self._encryption.parameters(),
            )
        )

    def get(self, key: str) -> bytes | None:
        """The object's content; None where there is none of this key."""

        def read(s3: Any) -> bytes:
            content: bytes = s3.get_object(Bucket=self.name, Key=key)["Body"].read()
            return content

        try:
            return self._service.ask(read)
        except Refused as error:
            if error.code in _GONE:
                return None
            raise

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with it, in their order (that of their UTF-8)."""
        more: dict[str, str] = {}
        while True:
            page = self._page(prefix, more)
            yield from (found["Key"] for found in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """It may be gone already."""
        self._service.ask(lambda s3: s3.delete_object(Bucket=self.name, Key=key))

    def _page(self, prefix: str, more: dict[str, str]) -> dict[str, Any]:
        def read(s3: Any) -> dict[str, Any]:
            found: dict[str, Any] = s3.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            return found

        return self._service.ask(read)
