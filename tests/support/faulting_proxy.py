"""A proxy in front of an emulator of AWS, with faults to order at run time, and a log of what was asked.

with FaultingProxy(moto.url) as proxy:
    proxy.fault("throttle", "sqs:SendMessageBatch", times=2)   # then boto3 with endpoint_url=proxy.url
    proxy.heal()
"""

from __future__ import annotations

import fnmatch
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from support import recorded_calls
from support.aws_requests import operation

Kind = Literal["throttle", "error", "refuse", "cut", "cut_after", "cut_within", "delay", "some_entries"]
"""What is done to a request.

throttle, error and refuse answer in the service's own form (429-like, 5xx, or a `code` and `status` of yours) and
forward nothing; `cut` resets the connection before forwarding, `cut_after` once the service has done it (the answer is
lost), `cut_within` in the middle of the answer; `delay` waits `seconds` and goes on; `some_entries` refuses those
`entries` of a batch, by number, and forwards the others.
"""

_JSON = "application/x-amz-json-1.0"
_HOPS = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}
_THROTTLED = {"s3": (503, "SlowDown"), "sqs": (400, "RequestThrottled"), "lambda": (429, "TooManyRequestsException")}


@dataclass
class Fault:
    """In force for `times` requests whose operation matches `on`, or until it is healed. `met` counts them."""

    kind: Kind
    on: str
    times: int | None
    code: str
    status: int
    message: str
    seconds: float
    entries: tuple[int, ...]
    met: int = 0


@dataclass
class Request:
    """What was asked, such as `s3:PutObject`. `status` is what was answered, None where the connection was cut."""

    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    fault: Kind | None = None
    status: int | None = None
    at: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        """The body of a service that speaks JSON."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """Where it is not `whole`, half of it is sent."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    whole: bool = True


class FaultingProxy:
    """Listens on loopback inside a `with`; `url` is an endpoint like the one behind it. Safe from any thread."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._requests: list[Request] = []
        self._healed = threading.Event()

    def __enter__(self) -> Self:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    def fault(
        self,
        kind: Kind,
        on: str = "*",
        times: int | None = None,
        *,
        code: str = "InternalError",
        status: int = 0,
        message: str = "ordered by the test",
        seconds: float = 0.0,
        entries: tuple[int, ...] = (0,),
    ) -> Fault:
        """Order one. `on` is an operation or a pattern of them: `sqs:*`, `s3:PutObject`. The first that fits counts."""
        made = Fault(kind, on, times, code, status, message, seconds, entries)
        with self._lock:
            self._healed = threading.Event()
            self._faults.append(made)
        return made

    def heal(self) -> None:
        """No more faults; what is delayed goes on at once."""
        with self._lock:
            self._faults.clear()
            self._healed.set()

    @property
    def requests(self) -> list[Request]:
        """All that was asked so far."""
        with self._lock:
            return list(self._requests)

    def asked(self, on: str) -> list[Request]:
        """Those of an operation, or a pattern of them."""
        return [request for request in self.requests if fnmatch.fnmatchcase(request.operation, on)]

    def forget(self) -> None:
        """Begin the log anew."""
        with self._lock:
            self._requests.clear()

    def _took(self, request: Request) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for fault in self._faults:
                if fnmatch.fnmatchcase(request.operation, fault.on) and fault.times != fault.met:
                    fault.met += 1
                    request.fault = fault.kind
                    return fault
        return None

    def _answer(self, request: Request) -> Reply | None:
        """None: cut."""
        match self._took(request):
            case None:
                return self._forwarded(request)
            case Fault(kind="throttle") as fault:
                status, code = _THROTTLED.get(_service(request), (400, "ThrottlingException"))
                return _refusal(request, fault.status or status, code, "Rate exceeded")
            case Fault(kind="error") as fault:
                return _refusal(request, fault.status or 500, fault.code, fault.message)
            case Fault(kind="refuse") as fault:
                return _refusal(request, fault.status or 403, fault.code, fault.message)
            case Fault(kind="cut"):
                return None
            case Fault(kind="cut_after"):
                self._forwarded(request)
                return None
            case Fault(kind="cut_within"):
                return self._forwarded(request)._replace(whole=False)
            case Fault(kind="delay") as fault:
                self._healed.wait(fault.seconds)
                return self._forwarded(request)
            case fault:
                return self._partly(request, fault)

    def _partly(self, request: Request, fault: Fault) -> Reply:
        asked = request.json()
        entries = asked["Entries"]
        failed = [
            {
                "Id": each["Id"],
                "Code": fault.code,
                "Message": fault.message,
                "SenderFault": fault.status in range(400, 500),
            }
            for number, each in enumerate(entries)
            if number in fault.entries
        ]
        kept = [each for number, each in enumerate(entries) if number not in fault.entries]
        answer: dict[str, Any] = {}
        if kept:
            body = json.dumps({**asked, "Entries": kept}).encode()
            forwarded = self._forwarded(request, body)
            if forwarded.status != 200:
                return forwarded
            answer = json.loads(forwarded.body)
        answer["Failed"] = [*answer.get("Failed", []), *failed]
        return Reply(200, json.dumps(answer).encode(), [("Content-Type", _JSON)])

    def _forwarded(self, request: Request, body: bytes | None = None) -> Reply:
        connection = http.client.HTTPConnection(str(self._upstream.hostname), self._upstream.port, timeout=60)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent = request.body if body is None else body
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOPS}
            connection.request(
                request.method, request.path, sent, {**headers, "Content-Length": str(len(sent)), "Connection": "close"}
            )
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOPS]
            if request.method == "HEAD" and (length := answer.getheader("Content-Length")):
                kept.append(("Content-Length", length))
            return Reply(answer.status, answer.read(), kept)
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up is a client's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: FaultingProxy

    def _serve(self) -> None:
        body = self._body()
        headers = dict(self.headers.items())
        asked = operation(self.command, self.path, headers, body)
        request = Request(asked, self.command, self.path, headers, body)
        # It may never reach the emulator.
        recorded_calls.request(self.command, self.path, headers, body, ours=True)
        reply = self.owner._answer(request)
        if reply is None:
            self._cut()
            return
        request.status = reply.status if reply.whole else None
        self._send(reply)
        if not reply.whole:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(reply.body)))
        head = b"".join([*self._headers_buffer, b"\r\n"])  # type: ignore[attr-defined]
        self._headers_buffer: list[bytes] = []
        answer = head + (b"" if self.command == "HEAD" else reply.body)
        self.wfile.write(answer if reply.whole else answer[: len(answer) // 2])

    def log_message(self, *_: Any) -> None:
        """Nothing: the log is `requests`."""


def _service(request: Request) -> str:
    return request.operation.split(":")[0]


def _refusal(request: Request, status: int, code: str, message: str) -> Reply:
    """An error in the form of the service that was asked."""
    if _service(request) == "s3":
        said = f"<Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId><HostId>h</HostId>"
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{said}</Error>'.encode()
        return Reply(status, b"" if request.method == "HEAD" else xml, [("Content-Type", "application/xml")])
    body = json.dumps({"__type": f"com.amazonaws.{_service(request)}#{code}", "message": message}).encode()
    return Reply(status, body, [("Content-Type", _JSON), ("x-amzn-ErrorType", code)])
