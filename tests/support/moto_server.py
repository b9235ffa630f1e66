"""AWS's API over HTTP from moto, in a process of its own: what the poller's boto3 talks to in tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.tether import tethered

REGION = "us-east-1"
REGISTRY = "default-registry"
TESTS = Path(__file__).parents[1]
_RUNNING_ON = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


class MotoServer:
    """Up inside a `with`. `url` is the endpoint of every service; it keeps all in memory."""

    url: str

    def __init__(self, directory: Path) -> None:
        self._log = directory / "moto.log"

    def __enter__(self) -> Self:
        command = tethered([sys.executable, "-m", "support.moto_process", "-H", "127.0.0.1", "-p", "0"])
        environ = {**os.environ, "PYTHONPATH": str(TESTS)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
        try:
            self.url = self._address(time.monotonic() + 30.0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    @staticmethod
    def environment() -> Mapping[str, str]:
        """What an AWS client beside this one needs in its environment: no real credentials, nobody else's profile."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        return {**kept, **credentials, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}

    def _address(self, until: float) -> str:
        while True:
            written = self._log.read_text(errors="replace")
            found = _RUNNING_ON.search(written)
            if found is not None:
                return found.group(1)
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"moto did not start: {written[-2000:]}")
            time.sleep(0.05)
