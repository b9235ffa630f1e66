"""Tokens for Amazon MSK with IAM: an `oauth_cb` that needs nothing of DataHub's, and knows why one may be refused.

MSK's broker refuses a token without saying why: that the credentials have expired, that this machine's clock is off
and that the role may not connect all look alike. AWS itself is asked then, by a call that needs no right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from datahub_poller.aws import SESSION_NAME, Account, about_credentials, code_of, detail_of, provider_of, seconds_left
from datahub_poller.msk import Identity, identity, is_region
from datahub_poller.proxies import AWS_REMEDY, is_proxys

_SET_REGION: Final = "Set source.config.connection.auth.region, or AWS_REGION"
TOLERANCE: Final = 300.0
"""Seconds by which a signature's time may be off: AWS refuses more."""
ASK_AGAIN_SECONDS: Final = 60.0
PATIENCE: Final = 1.5
"""Seconds that a first answer of AWS's is waited for; it serves the next refusal if it comes later."""
_LIFE: Final = 900
"""Seconds that a token is good for: MSK takes no others."""
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"})
_MISSING: Final = "it needs the package aws-msk-iam-sasl-signer-python: pip install 'datahub-poller[msk]'"


class MskIam:
    """Makes tokens, with the region and the role that `settings` name, or AWS's own chain. Raises ValueError.

    `settings` is the property sasl.oauthbearer.config. Credentials are kept until shortly before they expire.
    """

    def __init__(
        self,
        settings: str,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        default_region: str | None = None,
    ) -> None:
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - only where it is used
        except ImportError as error:
            raise ValueError(_MISSING) from error
        wanted = identity(settings)
        self._sign = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider
        self._wall = wall
        self._clock = clock
        self.region = _region(wanted, default_region)
        self._account = Account(
            self.region,
            profile=wanted.profile,
            role=wanted.role,
            external_id=wanted.external_id,
            session_name=wanted.session_name or SESSION_NAME,
            sts_region=wanted.sts_region,
        )
        self._session = self._account.session()
        self._asked_at = float("-inf")
        self._answer: str | None = None
        self._asking: threading.Thread | None = None

    def __call__(self, _: str) -> tuple[str, float]:
        """A token, and when it expires in seconds since the epoch. Raises ValueError where there are no credentials."""
        credentials = self._credentials()
        token, expires_ms = self._sign(self.region, provider_of(credentials))
        expires = float(expires_ms) / 1000
        return token, min(expires, self._wall() + seconds_left(credentials, _LIFE))

    def why_refused(self) -> str:
        """What AWS says of these credentials and of the time, asked at most once a minute; else what to look at."""
        if self._clock() - self._asked_at >= ASK_AGAIN_SECONDS:
            self._asked_at = self._clock()
            self._asking = threading.Thread(target=self._ask, name="who-am-i", daemon=True)
            self._asking.start()
            self._asking.join(PATIENCE)
        return self._answer or self._to_look_at()

    def _ask(self) -> None:
        self._answer = self.diagnosis()

    def diagnosis(self) -> str:
        """Ask AWS who this is, and what time it is. Blocks up to ten seconds."""
        try:
            sts: Any = self._session.create_client("sts", region_name=self.region, config=self._account.config())
            found = sts.get_caller_identity()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes into words
            return self._about(error)
        skew = self._skew(found)
        return skew or (
            f"{found['Arn']} has valid credentials, and the clock is right: its policies must allow "
            f"kafka-cluster:Connect on the cluster, and the cluster be in {self.region}"
        )

    def _about(self, error: Exception) -> str:
        skew = self._skew(getattr(error, "response", {}))
        code = code_of(error)
        if skew is not None:
            return skew
        if code in _EXPIRED:
            return f"AWS says that the credentials are not valid any more ({code}): renew them"
        if (refused := self._account.why_not_assumed(error)) is not None:
            return refused
        if is_proxys(code):
            return f"{self._to_look_at()} (AWS could not be asked: a proxy is away or refuses: {AWS_REMEDY})"
        return f"{self._to_look_at()} (AWS could not be asked: {code})"

    def _skew(self, response: Mapping[str, Any]) -> str | None:
        """What to say of this machine's clock, where it is off by the answer's own date."""
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is None:
            return None
        off = self._wall() - parsedate_to_datetime(date).timestamp()
        if abs(off) < TOLERANCE:
            return None
        side = "ahead of" if off > 0 else "behind"
        remedy = "set it, with the Amazon Time Sync Service for one"
        return f"this machine's clock is {abs(off):.0f} s {side} AWS's, which takes at most {TOLERANCE:.0f} s: {remedy}"

    def _to_look_at(self) -> str:
        return (
            "see whether its credentials have expired, its clock is right, its policies allow kafka-cluster:Connect "
            f"on the cluster, and the cluster is in {self.region}"
        )

    def _credentials(self) -> Any:
        """botocore's, renewed if that is due."""
        try:
            found = self._session.get_credentials()
            if found is not None:
                found.get_frozen_credentials()  # renewed here if that is due, and what goes wrong is told here
        except Exception as error:
            refused = self._account.why_not_assumed(error)
            if refused is not None:
                raise ValueError(refused) from error
            if is_proxys(code_of(error)):
                raise ValueError(f"a proxy is away or refuses: {AWS_REMEDY}: {detail_of(error)}") from error
            if about_credentials(code_of(error)):
                raise ValueError(f"{_NO_CREDENTIALS} ({error})") from error
            raise
        if found is None:
            raise ValueError(_NO_CREDENTIALS)
        return found


_NO_CREDENTIALS: Final = (
    "AWS has no credentials: give the task or the instance a role, or set AWS_PROFILE, "
    "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


def _region(wanted: Identity, default: str | None) -> str:
    found = wanted.region or Account(profile=wanted.profile).session().get_config_variable("region") or default
    if found is None:
        raise ValueError(f"no AWS region is known: the servers' names hold none. {_SET_REGION}")
    if not is_region(found):
        raise ValueError(f"{found!r} is no AWS region. {_SET_REGION}")
    return str(found)
