"""A thread that asks ECS's agent to spare this task while a long batch is in work, and to let go of it afterwards.

The agent is reached at ECS_AGENT_URI, which ECS sets; it calls AWS with the task's role. When to ask is `protection`'s.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from datahub_poller.errors import CannotStart
from datahub_poller.observe.logs import get_logger, log_event
from datahub_poller.observe.status import Board
from datahub_poller.protection import LEASE_SECONDS, Protection, Wish, at_work

LOG: Final = get_logger("datahub_poller")
VARIABLE: Final = "ECS_AGENT_URI"
_PATH: Final = "/task-protection/v1/state"
_NEEDED: Final = ": the task's role needs ecs:UpdateTaskProtection"
_LOOK_SECONDS: Final = 0.5
_TIMEOUT: Final = 5.0
_MOST_BYTES: Final = 65_536


class EcsAgent:
    """`uri` is the agent's, `limit` are seconds of work that are protected at most. Raises CannotStart without one."""

    def __init__(
        self, uri: str | None, board: Board, limit: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if uri is None or urlsplit(uri).scheme != "http" or urlsplit(uri).hostname is None:
            raise CannotStart(
                f"shutdown.scale_in_protection: ecs needs the agent of ECS, which {VARIABLE} names there. "
                "Leave it out elsewhere"
            )
        self._where = urlsplit(uri)
        self._board = board
        self._limit = limit
        self._clock = clock
        self._protection = Protection()
        self._told = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="protection", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """No more questions. What is protected stays so: the task ends by itself."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Tell the agent what has changed, if anything has."""
        status = self._board.status
        if status is None:
            return
        now = self._clock()
        wish = self._protection.wish(at_work(status, now, self._limit), now)
        if wish is None:
            return
        reason = self._ask(wish)
        if reason is None:
            self._protection.told(wish, now)
            self._told = True
            log_event(LOG, logging.DEBUG, "task is protected" if wish.protected else "task is not protected any more")
        else:
            self._protection.failed(now)
            if self._told:
                log_event(LOG, logging.WARNING, "the task cannot be protected from scaling", reason=reason)
            self._told = False

    def _ask(self, wish: Wish) -> str | None:
        """Why it was not done; None where it was."""
        body: dict[str, Any] = {"ProtectionEnabled": wish.protected}
        if wish.protected:
            body["ExpiresInMinutes"] = int(LEASE_SECONDS // 60)
        connection = http.client.HTTPConnection(self._where.hostname or "", self._where.port or 80, timeout=_TIMEOUT)
        try:
            connection.request(
                "PUT", self._where.path.rstrip("/") + _PATH, json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            return _refusal(answer.status, answer.read(_MOST_BYTES))
        except (OSError, http.client.HTTPException) as error:
            return f"the agent of ECS does not answer: {error}"
        finally:
            connection.close()


def _refusal(status: int, body: bytes) -> str | None:
    """The agent says what went wrong in one of two forms, the second with status 200."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return f"the agent of ECS answers {status}"
    for part, kind, detail in (("error", "Code", "Message"), ("failure", "Reason", "Detail")):
        if isinstance(found := said.get(part), dict):
            right = (
                ": the task's role needs ecs:UpdateTaskProtection" if found.get(kind) == "AccessDeniedException" else ""
            )
            return f"{found.get(kind)}: {found.get(detail)}{right}"
    return None if status == http.client.OK and "protection" in said else f"the agent of ECS answers {status}"
