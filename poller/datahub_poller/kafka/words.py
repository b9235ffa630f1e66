"""Kafka's errors sorted and put into words."""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaError

# The client library's own names for what it finds by itself begin with an underscore, and are public.
NO_OFFSET: Final = KafkaError._NO_OFFSET  # noqa: SLF001
OUT_OF_RANGE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
REFUSED: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""Answers that waiting alone does not change: somebody has to act."""
_MISSING: Final = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})  # noqa: SLF001


# A broker that does not want our certificate, or wants one and gets none, tells it by one of these alerts of TLS; the
# client takes them for a lost connection.
_ALERT: Final = re.compile(r"SSL alert number (?:40|4[2-9]|70|71|116)\b")
_THREAD: Final = re.compile(r"^\[thrd:[^\]]*\]: ")
_AFTER: Final = re.compile(r"\s*\(after \d+ms.*\)$")


def plain(text: str) -> str:
    """A text of librdkafka's without the thread that says it, and without how long a state took."""
    return _AFTER.sub("", _THREAD.sub("", text))


def refuses(error: KafkaError) -> bool:
    """Whether waiting alone does not change it."""
    return error.code() in REFUSED or _ALERT.search(error.str()) is not None


def settings_about(refusal: str, section: str) -> str:
    """The keys that a refused connection is about; librdkafka's properties are in `section`."""
    if "kafka-cluster:Connect" in refusal:
        return "source.config.connection.auth"
    if _ALERT.search(refusal) is not None:
        return f"ssl.certificate.location and ssl.key.location in {section}"
    return f"sasl.* and ssl.* in {section}"


def says_missing(error: BaseException) -> bool:
    """Whether it says that a partition does not exist."""
    first = error.args[0] if error.args else None
    return isinstance(first, KafkaError) and first.code() in _MISSING


def topic_refused(topic: str, reason: str) -> str:
    """Say it with what is missing."""
    return f"topic {topic}: {reason}: the principal needs READ and DESCRIBE on it"


def group_refused(group: str, reason: str) -> str:
    """Say it with what is missing."""
    return f"group {group}: {reason}: the principal needs READ on it"


def why(error: BaseException) -> str:
    """The reason in Kafka's words: what was raised may be a wrapper around what was meant."""
    cause = error.__cause__ if isinstance(error, SystemError) and error.__cause__ is not None else error
    first = cause.args[0] if cause.args else cause
    return first.str() if isinstance(first, KafkaError) else str(first)


def real(errors: list[KafkaError | None]) -> KafkaError | None:
    """The first of a commit's errors that is one: having had nothing to commit is none."""
    return next((error for error in errors if error is not None and error.code() != NO_OFFSET), None)
