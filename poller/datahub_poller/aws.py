"""AWS's clients: made when they are needed, with limits of ours, and what their errors mean in words.

The only importer of boto3 and botocore beside Glue's library. It must not know what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from botocore.config import Config

CONNECTIONS: Final = 32
"""More threads than a poller writes from at a time; with botocore's ten it would warn, and drop connections."""
_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError"})


class Account(NamedTuple):
    """How AWS is reached. What is None comes from AWS's own chain; `timeout` is in seconds, for each wait."""

    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    timeout: float = 5.0

    def client(self, service: str) -> Any:
        """A client that tries once: whoever uses it tries again, and says so. Imports boto3, and blocks."""
        import boto3  # noqa: PLC0415 - slow, and only where AWS is used

        session = boto3.Session(profile_name=self.profile)
        return session.client(service, region_name=self.region, endpoint_url=self.endpoint, config=self._config())

    def _config(self) -> Config:
        from botocore.config import Config  # noqa: PLC0415 - as above

        return Config(
            connect_timeout=self.timeout,
            read_timeout=self.timeout,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )


def code_of(error: BaseException) -> str:
    """AWS's name for what went wrong, or else the exception's."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code) if code else type(error).__name__


def about_credentials(code: str) -> bool:
    """Whether an error means that no credentials, region or profile were found."""
    return code in _CREDENTIALS
