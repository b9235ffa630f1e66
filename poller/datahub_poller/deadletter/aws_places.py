"""What the settings of S3 and SQS make: buckets, queues, and where letters go that are too large for a message.

Nothing is connected to, and boto3 is not imported yet.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from datahub_poller.aws import Account
from datahub_poller.deadletter.s3_bucket import BUCKETS_OWN, Bucket, Encryption
from datahub_poller.deadletter.sqs_overflow import Overflow
from datahub_poller.deadletter.sqs_queue import Queue


def queue(account: Account, url: str) -> Queue:
    """The queue; without a region of ours, its URL's counts: SQS answers nobody from another one."""
    return Queue(account._replace(region=account.region or region_in(url)), url)


def overflow(account: Account, place: str | None, encryption: Encryption = BUCKETS_OWN) -> Overflow | None:
    """`place` is `s3://bucket/prefix`. Another endpoint counts for S3 too, unless its name says that it is SQS's."""
    if place is None:
        return None
    name, _, prefix = place.removeprefix("s3://").partition("/")
    own = account._replace(endpoint=None) if _is_sqs(account.endpoint) else account
    return Overflow(Bucket(own, name, encryption, "dead_letter.config.overflow"), prefix)


def region_in(url: str) -> str | None:
    """The region that a queue's URL names: `https://sqs.eu-west-1.amazonaws.com/...`, or a VPC endpoint's."""
    labels = _labels(url)
    following = labels[labels.index("sqs") + 1 :] if "sqs" in labels and "amazonaws" in labels else []
    return following[0] if following and following[0] != "amazonaws" else None


def _is_sqs(endpoint: str | None) -> bool:
    labels = _labels(endpoint or "")
    return "amazonaws" in labels and ("sqs" in labels or "sqs-fips" in labels)


def _labels(url: str) -> list[str]:
    return (urlsplit(url).hostname or "").split(".")
