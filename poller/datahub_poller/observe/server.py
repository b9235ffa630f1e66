"""An HTTP server that shows the board: `/livez`, `/healthz`, `/readyz` to supervisors, `/status`, `/metrics` to tools.

It listens on loopback unless it is told otherwise, and takes orders at `/orders`, of which `ordering` knows more.
Knows the board, not the loop that writes it.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from datahub_poller.errors import CannotStart
from datahub_poller.forks import close_in_children
from datahub_poller.observe.catalogue import Moment
from datahub_poller.observe.listening import EVERYWHERE, EVERYWHERE_6, LOOPBACK, in_url, is_loopback
from datahub_poller.observe.logs import Throttle
from datahub_poller.observe.ordering import TELL_SECONDS, Bring, Orders
from datahub_poller.observe.prometheus import CONTENT_TYPE, page
from datahub_poller.observe.readiness import has_joined, not_ready
from datahub_poller.observe.scrub import Scrubber
from datahub_poller.observe.status import LIVE_SECONDS, Board, as_document

READ_SECONDS = 5.0
CONNECTIONS = 16
THERE_ARE = "/livez, /healthz, /readyz, /status and /metrics"

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""No address of this machine, or of a family that it does not have."""

Answer = Callable[[str], tuple[HTTPStatus, str, str]]
"""From a path to the status code, the content type and the text."""


class StatusServer:
    """Serves a board from daemon threads, and takes orders if told how. `series` bounds partitions in `/metrics`."""

    def __init__(
        self,
        board: Board,
        port: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        limit: float = LIVE_SECONDS,
        scrub: Iterable[str] = frozenset(),
        orders: Bring | None = None,
        token: str | None = None,
        host: str = LOOPBACK,
        series: int = 1000,
    ) -> None:
        self._board = board
        self._host = host
        self._series = series
        self._port = port
        self._clock = clock
        self._wall = wall
        self._limit = limit
        self._scrubber = Scrubber(scrub)
        self._orders = None if orders is None else Orders(orders, token, Throttle(TELL_SECONDS))
        self._server: _Server | None = None

    def start(self) -> int:
        """Listen, and return the port (the one found, for port 0). Raises CannotStart."""
        try:
            server = _Server((self._host, self._port), self._answer, self._orders)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if isinstance(error, OSError) and error.errno in _NOT_HERE:
                raise CannotStart(
                    f"status.host: cannot listen on {self._host}: {reason}. It must be an address of this machine, "
                    f"or {EVERYWHERE} for all of them"
                ) from error
            where = f"{in_url(self._host)}:{self._port}"
            raise CannotStart(
                f"status.port: cannot listen on {where}: {reason}. Set another port in status.port, "
                "or let one be chosen with --status-port 0"
            ) from error
        self._server = server
        close_in_children(server.socket)
        serve = threading.Thread(target=server.serve_forever, args=(0.05,), name="status", daemon=True)
        serve.start()
        return int(server.server_address[1])

    def close(self) -> None:
        """Stop listening. Answers under way are not waited for."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, str]:
        match path.partition("?")[0]:
            case "/livez":
                return self._livez()
            case "/healthz":
                return self._healthz()
            case "/status":
                return HTTPStatus.OK, "application/json", json.dumps(self._document(), indent=1) + "\n"
            case "/readyz":
                return self._readyz()
            case "/metrics":
                return self._metrics()
            case "/orders":
                return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "orders are given with POST\n"
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", f"not found: there are {THERE_ARE}\n"

    def _livez(self) -> tuple[HTTPStatus, str, str]:
        now = self._clock()
        if self._board.alive(now, self._limit):
            return HTTPStatus.OK, "text/plain", "ok\n"
        silent = self._board.silent_for(now)
        said = "has not turned yet" if silent is None else f"last turned {silent:.1f} s ago (limit {self._limit:g} s)"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"the loop {said}\n"

    def _healthz(self) -> tuple[HTTPStatus, str, str]:
        """Whether it has started, and is alive since: so that nobody takes a start for a success."""
        alive, status = self._livez(), self._board.status
        if alive[0] == HTTPStatus.OK and not has_joined(status):
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", "starting: the group has not answered yet\n"
        return alive

    def _readyz(self) -> tuple[HTTPStatus, str, str]:
        alive = self._livez()
        if alive[0] != HTTPStatus.OK:
            return alive
        reason = not_ready(self._board.status)
        if reason is None:
            return HTTPStatus.OK, "text/plain", "ok\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", self._scrubber.text(reason) + "\n"

    def _metrics(self) -> tuple[HTTPStatus, str, str]:
        status = self._board.status
        if status is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", "starting\n"
        moment = Moment.of(status, self._board.silent_for(now := self._clock()), self._limit, now, self._wall())
        return HTTPStatus.OK, CONTENT_TYPE, page(moment, self._series)

    def _document(self) -> dict[str, Any]:
        status = self._board.status
        now = self._clock()
        loop = {"loop_turned_ago": self._board.silent_for(now), "loop_hangs_after": self._limit}
        if status is None:
            return {"state": "starting", "red": False, "reasons": [], **loop}
        document: dict[str, Any] = self._scrubber.plain(as_document(status, now, self._wall()))
        if (silent := self._board.silent_for(now)) is not None and silent > self._limit:  # it cannot say so itself
            document["red"] = True
            document["reasons"].insert(0, f"the loop has not turned for {silent:.0f} s")
        return {**document, **loop}


class _Server(ThreadingHTTPServer):
    """A bounded number of requests at a time, each with a time limit; silent."""

    daemon_threads = True
    allow_reuse_port = False
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], answer: Answer, orders: Orders | None) -> None:
        self.answer = answer
        self.reached_by_name = not is_loopback(address[0])
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.orders = orders
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which may hang where DNS does."""
        if self.address_family == socket.AF_INET6:  # a system may have it otherwise by default
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(self.server_address[0] != EVERYWHERE_6))
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread while there is room; drop the connection where there is none."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one request and give its room back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET requests, on loopback those that name this machine as localhost, and orders."""

    server: _Server
    timeout = READ_SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """Answer, unless a web page reaches in under a name of its own (DNS rebinding)."""
        if self._names_this_machine():
            self._send(*self.server.answer(self.path))

    def do_POST(self) -> None:
        """Take an order."""
        if not self._names_this_machine():
            return
        if self.path != "/orders" or self.server.orders is None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, f"Unsupported method ({self.command!r})")
            return
        reply = self.server.orders.answer(self.headers, self.client_address[0], self.rfile)
        self._send(reply.code, "application/json", reply.body)

    def _names_this_machine(self) -> bool:
        """Whether it does, or may be called what it likes; where not, that is the answer."""
        named = self.server.reached_by_name or all(_names_loopback(host) for host in self.headers.get_all("Host", []))
        if not named:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", f"forbidden: ask for {LOOPBACK}, [::1] or localhost\n")
        return named

    def _send(self, code: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(code)
        if code == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", kind if "charset" in kind else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Name the product, not the Python under it."""
        return "datahub-poller"

    def log_message(self, *args: object) -> None:
        """Keep no access log."""


def _names_loopback(host: str) -> bool:
    """Whether a Host header names this machine by its loopback, with a port or without."""
    name, colon, port = host.strip().rpartition(":")
    bare = name if colon and port.isdigit() else host.strip()
    if bare.startswith("[") and bare.endswith("]"):
        return ":" in bare and is_loopback(bare[1:-1])
    return bare.lower() == "localhost" or (":" not in bare and is_loopback(bare))
