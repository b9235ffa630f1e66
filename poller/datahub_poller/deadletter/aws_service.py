"""One of AWS's services, as the keepers of letters ask it: its client, made once, and its refusals as values.

It must not know what is asked for, nor whether a refusal ends the start or is waited out.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeVar

from datahub_poller.aws import Account, code_of, detail_of

Answer = TypeVar("Answer")

_CLIENTS: Final = frozenset({"boto3", "botocore", "urllib3"})
_SAID_LIMIT: Final = 400
_SERVER_ERROR: Final = 500
_UNANSWERED: Final = frozenset(
    {
        "ConnectionClosedError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseStreamingError",
    }
)


class Refused(Exception):
    """A request that did not succeed. `code` is AWS's name for the reason, or the client's; `said` its text."""

    def __init__(self, code: str, said: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {said}")
        self.code = code
        self.said = said[:_SAID_LIMIT]
        self.status = status

    @property
    def may_be_done(self) -> bool:
        """Whether it may have been carried out all the same: the answer was lost, or is a server's stumble."""
        return self.code in _UNANSWERED or (self.status or 0) >= _SERVER_ERROR


class Service:
    """`name` is boto3's, such as `sqs`. Safe from several threads."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name
        self._lock = threading.Lock()
        self._made: Any = None

    def ask(self, question: Callable[[Any], Answer]) -> Answer:
        """What `question` gives when it is called with the client, which is made at the first one. Raises Refused."""
        try:
            return question(self._client())
        except Exception as error:
            if not _is_clients(error):
                raise
            refused = _refused(error)
            _let_go(error)
        raise refused

    def _client(self) -> Any:
        """Calls of a client are safe from several threads, making one is not."""
        with self._lock:
            if self._made is None:
                self._made = self._account.client(self._name)
            return self._made


def _is_clients(error: Exception) -> bool:
    return isinstance(error, OSError) or any(each.__module__.split(".")[0] in _CLIENTS for each in type(error).__mro__)


def _let_go(error: BaseException) -> None:
    """Its frames and the error hold each other, and with them what was sent, until Python looks for cycles."""
    chained: BaseException | None = error
    while chained is not None:
        traceback.clear_frames(chained.__traceback__)
        chained = chained.__context__


def _refused(error: Exception) -> Refused:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return Refused(code_of(error), detail_of(error))
    said = response.get("Error", {}).get("Message")
    return Refused(code_of(error), str(said or error), response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
