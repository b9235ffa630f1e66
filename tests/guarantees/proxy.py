"""A TCP proxy in front of Kafka's nodes, with network faults to order at run time.

The nodes advertise the proxy's ports themselves, so no byte is rewritten. The work is done by `relay`, a process of its
own; every method returns when what it orders is in force, and may be called from any thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from guarantees.frames import OFFSET_COMMIT
from support.tether import tethered

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Stats:
    """Since the start, of one broker or of all: what clients asked for and what was done to them."""

    connections: int
    """Accepted, those refused included."""
    open: int
    refused: int
    cut: int
    """Connections that `cut` reset."""
    requests_cut: int
    """Requests with which `cut_requests` reset their connection."""
    errors_swapped: int
    requests: Counter[int]
    """By api key."""


class ProxyError(Exception):
    """The relay did not do it."""


class Proxy:
    """Listens at each advertised port on loopback and passes on to the port behind it.

    `port` in a method is the advertised port of one broker; without it, all are meant. A fault lasts until it is
    ordered otherwise or `heal` is called; it holds for the connections that are open and for those to come.
    """

    def __init__(self, ports: Mapping[int, int]) -> None:
        self._ports = dict(ports)
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Returns when it listens. Raises ProxyError where a port is taken."""
        command = [sys.executable, "-m", "guarantees.relay", json.dumps(self._ports)]
        environ = {**os.environ, "PYTHONPATH": str(TESTS)}
        self._process = subprocess.Popen(
            tethered(command),
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self._answer(self._process)
        except ProxyError:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every connection."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # -- faults

    def latency(self, seconds: float, port: int | None = None) -> None:
        """Every byte arrives so much later, both ways; as many at a time as before. A round trip takes twice that."""
        self._order("set", port, latency=seconds)

    def cut(self, port: int | None = None) -> int:
        """Reset every connection that is open, once; how many."""
        cut: int = self._order("cut", port)
        return cut

    def refuse(self, refused: bool, port: int | None = None) -> None:
        """Reset new connections as soon as they are made; open ones stay."""
        self._order("set", port, refuse=refused)

    def blackhole(self, silent: bool, port: int | None = None) -> None:
        """Nothing passes, not even that a side has closed; connections stay open and can be made, and are silent.

        As with a network that drops packets: when it is lifted, what was sent in the meantime arrives, late and in
        order, for the connections that both sides still hold.
        """
        self._order("set", port, blackhole=silent)

    def cut_requests(
        self,
        api_key: int = OFFSET_COMMIT,
        count: int | None = 1,
        lose: Literal["request", "answer"] = "request",
        port: int | None = None,
    ) -> None:
        """Reset the connection of the next `count` requests of a kind (None: of all; 0: of no more).

        A lost request never reaches the broker. A lost answer is one that the broker gave: a commit is stored then.
        """
        self._order("order", port, api_key=api_key, what=f"lose-{lose}", left=count)

    def refuse_commits(self, code: int, count: int | None = 1, stored: bool = False, port: int | None = None) -> None:
        """Answer the next `count` OffsetCommits with this error for every partition of them.

        The broker has stored them, or, as with a real refusal, not seen them.
        """
        what = "refuse-stored" if stored else "refuse"
        self._order("order", port, api_key=OFFSET_COMMIT, what=what, left=count, code=code)

    def heal(self, port: int | None = None) -> None:
        """No faults any more."""
        self._order("heal", port)
        self._order("set", port, latency=0.0, refuse=False, blackhole=False)

    # -- what happened

    def stats(self, port: int | None = None) -> Stats:
        doors = self._order("stats", port)
        counts: Counter[str] = Counter()
        requests: Counter[int] = Counter()
        for door in doors:
            counts.update(door["counts"])
            requests.update({int(key): count for key, count in door["frames"].items()})
        return Stats(
            connections=counts["connections"],
            open=sum(door["open"] for door in doors),
            refused=counts["refused"],
            cut=counts["cut"],
            requests_cut=counts["requests_cut"],
            errors_swapped=counts["errors_swapped"],
            requests=requests,
        )

    def _order(self, do: str, port: int | None, **more: Any) -> Any:
        if port is not None and port not in self._ports:
            raise ProxyError(f"port {port} is none of {sorted(self._ports)}")
        with self._lock:
            if self._process is None or self._process.stdin is None:
                raise ProxyError("it does not run")
            self._process.stdin.write(json.dumps({"do": do, "port": port, **more}) + "\n")
            self._process.stdin.flush()
            return self._answer(self._process)

    def _answer(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ProxyError(f"the relay ended with {process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ProxyError(answer["error"])
        return answer["done"]
