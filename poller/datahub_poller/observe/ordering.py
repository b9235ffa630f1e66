"""`POST /orders`: who may give an order to a running poller, and in what form it has to come.

Orders come from this machine, or with the token where there is one, as JSON of a bounded size. A web page in a browser
on this machine can give none. Knows nothing of what orders are: a callable takes the JSON and gives the answer.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase
from typing import Any, NamedTuple

from datahub_poller.model import Answer
from datahub_poller.observe.listening import is_loopback
from datahub_poller.observe.logs import Throttle, get_logger, log_event

BODY_LIMIT = 16 * 1024
DRAINED = 1024 * 1024
"""How much of a body is read at most, so that a client which sends too much sees the answer."""
BODY_SECONDS = 5.0
TELL_SECONDS = 10.0
PIECE = 4096
LOG = get_logger("datahub_poller")

Bring = Callable[[Any], Answer | None]
"""From an order in JSON to its answer; None where there was none in time, and the order was withdrawn."""


class Reply(NamedTuple):
    """An HTTP status, and the answer in words."""

    code: HTTPStatus
    said: str
    obeyed: bool = False

    @property
    def body(self) -> str:
        """As JSON."""
        return json.dumps({"obeyed": self.obeyed, "said": self.said}) + "\n"


@dataclass(frozen=True, slots=True)
class Orders:
    """The door for orders. `token` is what they must show; without one, only this machine may give any."""

    bring: Bring
    token: str | None
    throttle: Throttle

    def answer(self, headers: Message, client: str, body: BufferedIOBase) -> Reply:
        """One request."""
        raw = _read(headers, body)  # before anything is refused: closing on what was not read loses the answer
        if (refusal := self.refusal(headers, client)) is not None:
            if (held := self.throttle.admit(refusal.code, time.monotonic())) is not None:
                about: dict[str, Any] = {
                    "client": client,
                    "code": int(refusal.code),
                    "reason": refusal.said,
                    "more": held or None,
                }
                log_event(LOG, logging.WARNING, "order not admitted", **about)
            return refusal
        if isinstance(raw, Reply):
            return raw
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            return Reply(HTTPStatus.BAD_REQUEST, "the body is no JSON")
        match self.bring(document):
            case None:
                said = "the loop is busy and did not answer in time: the order is withdrawn, nothing was done"
                return Reply(HTTPStatus.SERVICE_UNAVAILABLE, said)
            case Answer(obeyed=True, said=said):
                return Reply(HTTPStatus.OK, said, obeyed=True)
            case Answer(said=said, unclear=unclear):
                return Reply(HTTPStatus.BAD_REQUEST if unclear else HTTPStatus.CONFLICT, said)

    def refusal(self, headers: Message, client: str) -> Reply | None:
        """Why this request may give no order; None if it may."""
        if self.token is not None:
            if not _shows(headers, self.token):
                return Reply(
                    HTTPStatus.UNAUTHORIZED, "the token of status.token is needed: Authorization: Bearer TOKEN"
                )
        elif not is_loopback(client):
            return Reply(HTTPStatus.FORBIDDEN, "orders come from this machine only; set status.token to allow others")
        if headers.get("Origin") is not None:
            return Reply(HTTPStatus.FORBIDDEN, "a web page gives no orders (there is an Origin header)")
        if headers.get_content_type() != "application/json" or headers.get("Content-Type") is None:
            return Reply(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an order is JSON: Content-Type: application/json")
        return None


def _shows(headers: Message, token: str) -> bool:
    given = headers.get_all("Authorization", [])
    scheme, _, shown = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    # http.server reads headers as Latin-1, whatever was sent.
    same = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), token.encode())
    return same and scheme.lower() == "bearer"


def _read(headers: Message, body: BufferedIOBase) -> bytes | Reply:
    """The body, within a bound of bytes and of time."""
    lengths = headers.get_all("Content-Length", [])
    if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()) or "Transfer-Encoding" in headers:
        return Reply(HTTPStatus.BAD_REQUEST, "one Content-Length is needed, and no Transfer-Encoding")
    length = int(lengths[0]) if len(lengths[0]) <= len(str(DRAINED)) else DRAINED
    pieces: list[bytes] = []
    left, end = min(length, DRAINED), time.monotonic() + BODY_SECONDS
    while left and time.monotonic() < end and (piece := body.read1(min(left, PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if length > BODY_LIMIT:
        return Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an order has at most {BODY_LIMIT} bytes")
    return Reply(HTTPStatus.BAD_REQUEST, "the body is shorter than its Content-Length") if left else b"".join(pieces)
