"""MSK's IAM authentication as librdkafka's properties: what `connection.auth` stands for, and DataHub's name for it.

Pure. What a token is made of travels in `sasl.oauthbearer.config`, so that whoever is given the properties (the
consumer, the producer of letters) can make tokens with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MSK_IAM: Final = "msk-iam"
"""Our own word for the function that gives tokens; DataHub's is a module and a function."""
DATAHUBS: Final = "datahub_actions.utils.kafka_msk_iam:oauth_cb"
DATAHUBS_REGION: Final = "us-east-1"
"""What DataHub's function takes where nothing names a region; a file that runs by it today goes on."""
SETTINGS: Final = "sasl.oauthbearer.config"

_HOST: Final = re.compile(r"\.kafka(?:-serverless)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?(?::|,|$)")
_MECHANISMS: Final = ("sasl.mechanism", "sasl.mechanisms")
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
_FIXED: Final[Mapping[str, str]] = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "OAUTHBEARER",
    "oauth_cb": MSK_IAM,
}
_ANOTHER_LOGIN: Final = frozenset({"oauth_cb", "sasl.username", "sasl.password", "sasl.kerberos.principal", SETTINGS})


class Identity(NamedTuple):
    """Whose tokens, and for a cluster where: AWS's region, and a role to assume with its external id.

    A profile gives the credentials; `session_name` and `sts_region` are how and where the role is assumed.
    """

    region: str | None = None
    role: str | None = None
    external_id: str | None = None
    session_name: str | None = None
    profile: str | None = None
    sts_region: str | None = None


def is_msk_iam(callback: object) -> bool:
    """Whether this value of `oauth_cb` is the poller's own for MSK."""
    return callback in (MSK_IAM, DATAHUBS)


def is_region(text: str) -> bool:
    """Whether a text has the form of an AWS region's name."""
    return _REGION.fullmatch(text) is not None


def auth_properties(identity: Identity) -> dict[str, str]:
    """What `connection.auth: msk-iam` stands for."""
    words = (f"{key}={value}" for key, value in identity._asdict().items() if value is not None)
    return {**_FIXED, SETTINGS: " ".join(words)}


def identity(settings: str) -> Identity:
    """What `sasl.oauthbearer.config` says of it: `region=... role=... external_id=...`. Raises ValueError."""
    found: dict[str, str] = {}
    for word in settings.split():
        key, equals, value = word.partition("=")
        if not equals or not value or key not in Identity._fields:
            known = ", ".join(Identity._fields)
            raise ValueError(f"{SETTINGS} must be words such as region=eu-west-1 (of {known})")
        found[key] = value
    return Identity(**found)


def with_region(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties; where tokens for MSK name no region, the one in the bootstrap servers' names is put in."""
    settings = str(properties.get(SETTINGS, ""))
    if not is_msk_iam(properties.get("oauth_cb")) or settings.startswith("region="):
        return properties
    found = _HOST.search(str(properties.get("bootstrap.servers", "")))
    if found is None:
        return properties
    return {**properties, SETTINGS: f"region={found[1]} {settings}".rstrip()}


def contradictions(consumer_config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys of `consumer_config` that cannot stand beside `auth: msk-iam`, with the remedy."""
    if is_msk_iam(consumer_config.get("oauth_cb")):  # Java's words for the same
        return []
    found = [(key, "Leave it out.") for key in sorted(_ANOTHER_LOGIN & consumer_config.keys())]
    for key, value in (("security.protocol", "SASL_SSL"), *((each, "OAUTHBEARER") for each in _MECHANISMS)):
        if key in consumer_config and str(consumer_config[key]).upper() != value:
            found.append((key, f"Leave it out: it is {value}."))
    return found
