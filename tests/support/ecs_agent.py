"""ECS's agent on loopback: keeps what it is asked, and answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from support import recorded_calls
from support.aws_requests import ACCOUNT
from support.policies import Call

TASK: Final = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/pollers/0123456789abcdef0123456789abcdef"
"""The task that it stands beside."""


class AgentStandIn:
    """Up inside a `with`. `answer` is a status and a document (or bytes); `asked` has paths and documents."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, {"protection": {"ProtectionEnabled": True}})
        self.asked: list[tuple[str, dict[str, Any]]] = []
        agent = self

        class Handler(BaseHTTPRequestHandler):
            """One question."""

            def do_PUT(self) -> None:
                """Take it down."""
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                agent.asked.append((self.path, body))
                # The real one asks AWS then, with the task's role.
                recorded_calls.note(recorded_calls.AGENT, Call("ecs:UpdateTaskProtection", TASK))
                code, said = agent.answer
                self.send_response(code)
                self.end_headers()
                self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/api/task-1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
