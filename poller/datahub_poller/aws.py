"""AWS's clients: made when they are needed, with limits of ours, and what their errors mean in words.

The only importer of boto3 and botocore beside Glue's library and MSK's signer. It must not know what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from datahub_poller import __version__
from datahub_poller.proxies import is_proxys

if TYPE_CHECKING:
    import botocore.session
    from botocore.config import Config
    from botocore.credentials import CredentialProvider, Credentials

CONNECTIONS: Final = 32
"""More threads than a poller writes from at a time; with botocore's ten it would warn, and drop connections."""
SESSION_NAME: Final = "datahub-poller"
"""What an assumed role's session is called in AWS's own records."""
AGENT: Final = f"datahub-poller/{__version__}"
"""What those records call the program by, behind boto3's own name: CloudTrail's `userAgent`."""
_REGION: Final = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}
"""Where a region comes from that is not given; botocore by itself reads the second variable alone."""
_STEP: Final = 15
_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError"})


class Account(NamedTuple):
    """How AWS is reached. What is None comes from AWS's own chain; `timeout` is in seconds, for each wait.

    With `role` that is assumed first, with the chain's credentials, and again before it expires; `sts_region` is where
    that is asked, if elsewhere. `command` is told to
    AWS beside our name where it is a person's: their rights are not the poller's.
    """

    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    timeout: float = 5.0
    role: str | None = None
    external_id: str | None = None
    session_name: str = SESSION_NAME
    sts_region: str | None = None
    command: str | None = None

    def client(self, service: str) -> Any:
        """A client that tries once: whoever uses it tries again, and says so. Imports boto3, and blocks."""
        import boto3  # noqa: PLC0415 - slow, and only where AWS is used

        session = boto3.Session(botocore_session=self.session())
        return session.client(service, region_name=self.region, endpoint_url=self.endpoint, config=self.config())

    def session(self) -> botocore.session.Session:
        """A session of botocore's whose credentials are these, kept and renewed by it. Imports botocore."""
        import botocore.session  # noqa: PLC0415 - as above

        session = botocore.session.Session(_REGION, profile=self.profile)
        # The session's and not a client's: botocore asks STS by itself where a profile names a role.
        session.user_agent_extra = AGENT if self.command is None else f"{AGENT} md/{self.command}"
        if self.region is not None:
            session.set_config_variable("region", self.region)
        if self.role is not None:
            self._assume(session, self.role)
        return session

    def config(self) -> Config:
        """How long a client waits, and that it tries once."""
        from botocore.config import Config  # noqa: PLC0415 - as above

        return Config(
            connect_timeout=self.timeout,
            read_timeout=self.timeout,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )

    def why_not_assumed(self, error: BaseException) -> str | None:
        """What to say where `error` is that the role could not be assumed; None where it is something else."""
        if getattr(error, "operation_name", None) != "AssumeRole":
            return None
        asked = f" with the external id {self.external_id}" if self.external_id else ""
        remedy = "its trust policy must name who runs the poller, who needs sts:AssumeRole on it"
        return f"{self.role} cannot be assumed{asked} ({code_of(error)}): {remedy}: {error}"

    def _assume(self, session: botocore.session.Session, role: str) -> None:
        """Let the session's credentials be the role's. Nothing is asked yet."""
        from botocore.credentials import (  # noqa: PLC0415 - as above
            AssumeRoleCredentialFetcher,
            CredentialProvider,
            DeferredRefreshableCredentials,
        )

        own = self._replace(role=None).session()
        extra = {"RoleSessionName": self.session_name, **({"ExternalId": self.external_id} if self.external_id else {})}

        def create_client(service: str, **credentials: Any) -> Any:
            return own.create_client(
                service, region_name=self.sts_region or self.region, config=self.config(), **credentials
            )

        class OfRole(CredentialProvider):
            """Asks for the role when credentials are wanted."""

            METHOD = CANONICAL_NAME = "datahub-poller-role"

            def load(self) -> DeferredRefreshableCredentials:
                """Credentials that renew themselves. Raises what the first question of them raises, at that time."""
                source = own.get_credentials()
                if source is None:
                    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - as above

                    raise NoCredentialsError
                fetcher = AssumeRoleCredentialFetcher(create_client, source, role, extra_args=extra)
                return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

        session.get_component("credential_provider").insert_before("env", OfRole())


def code_of(error: BaseException) -> str:
    """AWS's name for what went wrong, or else the exception's."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code) if code else type(error).__name__


def detail_of(error: BaseException) -> str:
    """The error's text; for a proxy's, which names the proxy alone, with what the connection said."""
    cause = getattr(error, "kwargs", {}).get("error") if is_proxys(type(error).__name__) else None
    return str(error) if cause is None else f"{error} ({getattr(cause, 'original_error', cause)})"


def about_credentials(code: str) -> bool:
    """Whether an error means that no credentials, region or profile were found."""
    return code in _CREDENTIALS


def provider_of(credentials: Credentials) -> CredentialProvider:
    """What hands out these credentials as they are now: they may be renewed while something is signed with them."""
    from botocore.credentials import CredentialProvider, Credentials  # noqa: PLC0415 - as above
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - as above

    access, secret, token, *_ = credentials.get_frozen_credentials()
    if not access or not secret:
        raise NoCredentialsError
    frozen = Credentials(access, secret, token)

    class Now(CredentialProvider):
        """Hands them out."""

        def load(self) -> Credentials:
            """The credentials."""
            return frozen

    return Now()


def seconds_left(credentials: Credentials, most: int) -> float:
    """How long credentials are good for, 15 s at a time, and at most so long."""
    due = getattr(credentials, "refresh_needed", None)
    if due is None:
        return float(most)
    return float(next((left for left in range(most, _STEP, -_STEP) if not due(left)), 1))
