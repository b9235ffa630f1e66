"""What to do about an error of S3's or SQS's, in words. Pure: codes in, sentences out."""

from __future__ import annotations

from typing import Final

from datahub_poller.aws import about_credentials
from datahub_poller.proxies import AWS_REMEDY, is_proxys

_SETTINGS = "dead_letter.config"
_KEYS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_CLOCK: Final = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_NETWORK: Final = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseStreamingError",
    }
)
_BUSY: Final = frozenset(
    {
        "KmsThrottled",
        "OverLimit",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED: Final = frozenset({"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden"})
_REGION: Final = frozenset(
    {
        "301",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
    }
)
_NO_QUEUE: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "InvalidAddress",
        "NonExistentQueue",
        "QueueDoesNotExist",
    }
)
_SERVER_ERROR: Final = 500


def is_busy(code: str, status: int | None) -> bool:
    """Whether the same request may well succeed in a moment: the service is throttling, or stumbles."""
    return code in _BUSY or "Throttl" in code or (status or 0) >= _SERVER_ERROR


def s3_remedy(code: str, right: str, objects: str, setting: str) -> str:
    """What to do when S3 refuses. `right` such as `s3:PutObject` is what is needed on `objects`; `setting` is the
    key of the action file that names the bucket.
    """
    if code in _DENIED:
        return f"the role needs {right} on {objects}, and the use of its KMS key if it has one"
    if code == "NoSuchBucket":
        return f"create the bucket, or correct {setting}"
    if code in _REGION:
        return f"the bucket is in another region: correct {_SETTINGS}.region (or .endpoint)"
    if "KMS" in code or "Kms" in code:
        return f"see the key's policy and state, and {_SETTINGS}.kms_key"
    if code == "InvalidObjectState":
        return "it is archived: restore it, or move it out of the prefix"
    return _remedy(code, "S3")


def sqs_remedy(code: str, right: str, queue: str) -> str:
    """What to do when SQS refuses. `right` such as `sqs:SendMessage` is what is needed on the queue."""
    if code in _NO_QUEUE:
        return f"create the queue, or correct {_SETTINGS}.queue (and .region)"
    if code in _DENIED:
        return f"the role needs {right} on {queue}, and the use of its KMS key if it has one"
    if "KMS" in code or "Kms" in code:
        return "see the policy and state of the queue's KMS key"
    return _remedy(code, "SQS")


def _remedy(code: str, service: str) -> str:
    if about_credentials(code) or code in _KEYS:
        return f"see the AWS credentials, {_SETTINGS}.region and .profile"
    if is_proxys(code):
        return f"a proxy is away or refuses: {AWS_REMEDY}"
    if code == "SSLError":
        return f"see AWS_CA_BUNDLE (or REQUESTS_CA_BUNDLE), if {service} is reached by a certificate of your own"
    if code in _CLOCK:
        return "set this machine's clock"
    if code in _NETWORK:
        return f"see the way to {service} (a VPC endpoint, {_SETTINGS}.endpoint) and {_SETTINGS}.timeout"
    if code in _BUSY or "Throttl" in code:
        return f"{service} asks to slow down"
    return ""
