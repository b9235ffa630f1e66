"""A proxy on loopback that answers every request with one status, and hands nothing on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    status = 502

    def _refuse(self) -> None:
        self.close_connection = True
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_CONNECT = _refuse  # noqa: N815 - http.server's names

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def refusing_proxy(status: int) -> Iterator[str]:
    """Its host and port."""
    handler = type("Handler", (_Handler,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
