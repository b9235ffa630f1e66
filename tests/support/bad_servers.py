"""Servers that nobody can work with: one that is silent, one that never ends, and a broker that takes no password."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Self

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
SPOKEN = ((API_VERSIONS, 0, 2), (SASL_HANDSHAKE, 0, 1), (SASL_AUTHENTICATE, 0, 1), (3, 0, 4))
UNSUPPORTED_VERSION, AUTHENTICATION_FAILED = 35, 58
SAID = "Authentication failed: Invalid username or password"


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that lets clients connect, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@contextmanager
def dripping_server() -> Iterator[int]:
    """The port of an HTTP server whose answers go on for ever, byte by byte."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n")
            while not over.wait(0.2):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server, accepting(server, drip):
        yield server.getsockname()[1]
        over.set()


@contextmanager
def accepting(server: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve every connection in a thread of its own, until the end of the block."""

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


class RefusingBroker:
    """A Kafka broker that speaks SASL/PLAIN and takes no password. `attempts` holds what clients have shown."""

    def __init__(self) -> None:
        self.attempts: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.bootstrap = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._server)
        self._open.enter_context(accepting(self._server, self._serve))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
            while (answer := self._answer(stream)) is not None:
                stream.write(struct.pack(">i", len(answer)) + answer)
                stream.flush()

    def _answer(self, stream: BinaryIO) -> bytes | None:
        size = stream.read(4)
        if len(size) < 4:
            return None
        request = stream.read(struct.unpack(">i", size)[0])
        kind, version, correlation = struct.unpack(">hhi", request[:8])
        body = _body(kind, version, request, self.attempts)
        return None if body is None else struct.pack(">i", correlation) + body


def _body(kind: int, version: int, request: bytes, attempts: list[bytes]) -> bytes | None:
    if kind == API_VERSIONS:
        known = b"".join(struct.pack(">hhh", *each) for each in SPOKEN)
        error = UNSUPPORTED_VERSION if version > 2 else 0  # clients then ask again with version 0
        throttle = struct.pack(">i", 0) if 0 < version <= 2 else b""
        return struct.pack(">hi", error, len(SPOKEN)) + known + throttle
    if kind == SASL_HANDSHAKE:
        return struct.pack(">hi", 0, 1) + _text("PLAIN")
    if kind == SASL_AUTHENTICATE:
        attempts.append(request)
        lifetime = struct.pack(">q", 0) if version else b""
        return struct.pack(">h", AUTHENTICATION_FAILED) + _text(SAID) + struct.pack(">i", 0) + lifetime
    return None


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
