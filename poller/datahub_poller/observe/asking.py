"""A question to the status port of a running poller, over HTTP, and what goes wrong with it in words.

Only commands import this. Knows nothing of what is asked.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from datahub_poller.errors import PollerError
from datahub_poller.observe.scrub import one_line

ANSWER_LIMIT = 64 * 1024 * 1024
LISTENING = "Is the poller running, with status.port (or --status-port) and status.host set to these?"


class Answered(NamedTuple):
    """What came back, whatever its code says."""

    code: int
    reason: str
    body: bytes


class _Here(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a poller has none, and another server gets no token."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """None: the answer is the redirect."""


def ask(
    url: str, timeout: float, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> Answered:
    """GET, or POST where there is a body. Raises PollerError with what to look at where nothing answers."""
    # No proxy, whatever the environment says: this is one's own machine, or an address beside it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Here())
    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310 - always http
    end = time.monotonic() + timeout
    try:
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Answered(answer.status, answer.reason, _body(answer, end))
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, error.reason, _body(error, end))
    except TimeoutError as error:
        raise PollerError(f"{url} did not answer within {timeout:g} s. {LISTENING}") from error
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        said = f"did not answer within {timeout:g} s" if late else f"cannot be reached: {_reason(error.reason)}"
        raise PollerError(f"{url} {said}. {LISTENING}") from error
    except http.client.HTTPException as error:
        said = one_line(str(error).strip())
        raise PollerError(f"{url} answered what is no HTTP ({said}): this is no poller's status port") from error
    except OSError as error:
        raise PollerError(f"{url} broke off: {_reason(error)}. {LISTENING}") from error


def _body(answer: Any, end: float) -> bytes:
    """The whole answer. Raises TimeoutError where it is not there by `end`, however it comes in."""
    body = b""
    while piece := answer.read1(ANSWER_LIMIT - len(body)):
        body += piece
        if time.monotonic() > end:
            raise TimeoutError
    return body


def _reason(error: object) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
