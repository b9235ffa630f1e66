"""The poller of the demo as a process of its own: started by the command that anyone would use, watched, stopped.

It reads what a person would: the exit code, the status port and the log.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

_STOP_SECONDS: Final = 12.0
_KILL_SECONDS: Final = 5.0
_STATUS_SECONDS: Final = 0.5
_LOG_LINES: Final = 15
_NOT_PASSED_ON: Final = ("AWS_", "KAFKA_", "DATAHUB_")
POLLER: Final = (sys.executable, "-m", "datahub_poller")
PRETENDED: Final = (
    ("AWS_ACCESS_KEY_ID", "demo"),
    ("AWS_SECRET_ACCESS_KEY", "demo"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
)
"""Glue's client wants credentials, although nobody here looks at them."""


def poller_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would lead the poller elsewhere: real clusters, accounts and proxies."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_NOT_PASSED_ON) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        **dict(PRETENDED),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


class PollerProcess:
    """`run` of a poller on an action file; its output goes to `log`. `stop` ends it, whatever happens."""

    def __init__(self, command: Sequence[str], action_file: Path, status_port: int, log: Path) -> None:
        self.log = log
        self._port = status_port
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "run", "-c", str(action_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=poller_environment(os.environ),
                start_new_session=True,  # a Ctrl-C is the demo's to handle
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def status(self) -> dict[str, Any] | None:
        """What its status port says; None while there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_STATUS_SECONDS)
        try:
            connection.request("GET", "/status")
            document = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return document if isinstance(document, dict) else None

    def stop(self) -> int:
        """Ask it to stop, and kill it if it does not; its exit code, negative for a signal."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(_STOP_SECONDS)
        except BaseException as error:  # a second Ctrl-C too: it must not be left behind
            self._process.kill()
            code = self._process.wait(_KILL_SECONDS)
            if isinstance(error, subprocess.TimeoutExpired):
                return code
            raise

    def last_lines(self) -> list[str]:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
