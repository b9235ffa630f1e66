"""Two schema registries on one loopback port: the Confluent API (also as DataHub's GMS speaks it) and AWS Glue's.

Only what readers ask: a schema by id or GUID, a subject's version, a Glue schema version. Every request is written
down and may be interfered with, so that tests can make it slow, failing or absent.
It knows nothing of Avro: schemas are texts.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, NamedTuple, Self

Style = Literal["confluent", "datahub"]
"""`datahub` serves under GMS's path, answers 404 with an empty body, and knows no GUIDs, as GMS does."""

_DATAHUB_PATH: Final = "/schema-registry/api"
_CONFLUENT_JSON: Final = "application/vnd.schemaregistry.v1+json"
_AWS_JSON: Final = "application/x-amz-json-1.1"
_GLUE_TARGET: Final = "AWSGlue."
_POLL_SECONDS: Final = 0.02
_CLOSING_SECONDS: Final = 2.0


class Reference(NamedTuple):
    """Another subject's version that a schema uses under `name`."""

    name: str
    subject: str
    version: int


class Interference(NamedTuple):
    """What becomes of a request: first `delay` seconds go by, then it is dropped, or answered with `status`

    and `body`, or (status 0) answered as if nothing had happened.
    """

    status: int = 0
    delay: float = 0.0
    drop: bool = False
    body: bytes = b""


class Reply(NamedTuple):
    """An HTTP answer. A `kind` is the error's name in AWS's header."""

    status: int
    body: bytes
    content_type: str
    kind: str = ""


class RegistryServer:
    """The server on 127.0.0.1. `url` stands from the start, and stays over `stop` and `start` again.

    `requests` lists what was asked, in order: "GET /schemas/ids/3" (the path below the registry's own), and for
    Glue "GetSchemaVersion <uuid>". `interfere` is asked with that same text before each answer, on the
    connection's thread. With `credentials` ("user:password") the Confluent API refuses everyone else.
    """

    def __init__(
        self,
        port: int = 0,
        style: Style = "confluent",
        interfere: Callable[[str], Interference | None] | None = None,
        credentials: str | None = None,
    ) -> None:
        self.interfere = interfere
        self.requests: list[str] = []
        self._style = style
        self.path = _DATAHUB_PATH if style == "datahub" else ""
        self._authorization = None if credentials is None else _basic(credentials)
        self._schemas: dict[int, dict[str, Any]] = {}
        self._guids: dict[str, int] = {}
        self._subjects: dict[tuple[str, int], int] = {}
        self._versions: dict[str, dict[str, Any]] = {}
        self._server: _Server | None = _Server(port, self)
        self._port = self._server.server_address[1]
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._port}{self.path}"

    def put(
        self,
        schema_id: int,
        text: str,
        references: Sequence[Reference] = (),
        *,
        subject: str | None = None,
        version: int = 1,
        guid: str | None = None,
    ) -> None:
        """Register a schema under a Confluent id, and as a subject's version if it is to be referred to.

        With a `guid` it is found under that too.
        """
        listed = [reference._asdict() for reference in references]
        self._schemas[schema_id] = {"schema": text} | ({"references": listed} if listed else {})
        if guid is not None:
            self._guids[str(uuid.UUID(guid))] = schema_id
            self._schemas[schema_id]["guid"] = str(uuid.UUID(guid))
        if subject is not None:
            self._subjects[subject, version] = schema_id

    def put_version(self, version_id: str, text: str, status: str = "AVAILABLE") -> None:
        """Register a Glue schema version under its UUID."""
        self._versions[str(uuid.UUID(version_id))] = {"text": text, "status": status, "at": time.time()}

    def start(self) -> None:
        """Begin to answer."""
        if self._server is None:
            self._server = _Server(self._port, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, name="registry", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every open connection: from here on connections are refused. May be called again."""
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        if server is None:
            return
        if thread is not None:
            server.shutdown()
            thread.join()
        server.hang_up()
        server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer_confluent(self, path: str, authorization: str | None) -> Reply:
        """Answer a GET of this path below the registry's own."""
        if self._authorization not in (None, authorization):
            return self._refusal(401, 401, "Unauthorized")
        return self._found(path)

    def _found(self, path: str) -> Reply:
        match [urllib.parse.unquote(part) for part in path.strip("/").split("/")]:
            case [""]:
                return Reply(200, b"" if self._style == "datahub" else b"{}", _CONFLUENT_JSON)
            case ["schemas", "ids", number] if number.isdecimal():
                schema = self._schemas.get(int(number))
                if schema is None:
                    return self._refusal(404, 40403, f"Schema {number} not found")
                return _json(schema | ({"schemaType": "AVRO"} if self._style == "datahub" else {}))
            case ["schemas", "guids", guid] if self._style == "confluent":
                if guid not in self._guids:
                    return self._refusal(404, 40403, f"Schema {guid} not found")
                return _json(self._schemas[self._guids[guid]])
            case ["subjects", subject, "versions", number] if number.isdecimal():
                schema_id = self._subjects.get((subject, int(number)))
                if schema_id is None:
                    return self._refusal(404, 40402, f"Version {number} of subject '{subject}' not found")
                return _json({"subject": subject, "version": int(number), "id": schema_id, **self._schemas[schema_id]})
            case _:
                return self._refusal(404, 404, "HTTP 404 Not Found")

    def answer_glue(self, action: str, asked: dict[str, Any]) -> Reply:
        """Answer one of AWS Glue's actions."""
        if action != "GetSchemaVersion":
            return _glue_error("UnknownOperationException", f"This stand-in does not know {action}")
        try:
            version_id = str(uuid.UUID(asked["SchemaVersionId"]))
        except (KeyError, TypeError, ValueError):
            return _glue_error("InvalidInputException", "A SchemaVersionId with a UUID is needed")
        version = self._versions.get(version_id)
        if version is None:
            return _glue_error("EntityNotFoundException", f"Schema version is not found. SchemaVersionId: {version_id}")
        found = {
            "SchemaVersionId": version_id,
            "SchemaDefinition": version["text"],
            "DataFormat": "AVRO",
            "SchemaArn": f"arn:aws:glue:us-east-1:000000000000:schema/default-registry/{version_id}",
            "VersionNumber": 1,
            "Status": version["status"],
            "CreatedTime": version["at"],
        }
        return Reply(200, json.dumps(found).encode(), _AWS_JSON)

    def _refusal(self, status: int, code: int, message: str) -> Reply:
        body = b"" if self._style == "datahub" else json.dumps({"error_code": code, "message": message}).encode()
        return Reply(status, body, _CONFLUENT_JSON)


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _json(value: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(value).encode(), _CONFLUENT_JSON)


def _glue_error(kind: str, message: str) -> Reply:
    return Reply(400, json.dumps({"__type": kind, "Message": message}).encode(), _AWS_JSON, kind)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, registry: RegistryServer) -> None:
        self.registry = registry
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Connection)

    def server_bind(self) -> None:
        """Bind without the reverse name lookup of the standard library, which may hang without a network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def hang_up(self) -> None:
        """Cut every open connection and wait until their threads have let go of them."""
        self.closing.set()
        with self.changed:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was quicker
            self.changed.wait_for(lambda: not self.connections, _CLOSING_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up before its answer is what tests do; anything else is a defect and shows."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # without it every answer on a kept connection waits 40 ms for an acknowledgement

    def setup(self) -> None:
        super().setup()
        with self.server.changed:
            self.server.connections.add(self.request)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            with self.server.changed:
                self.server.connections.discard(self.request)
                self.server.changed.notify_all()

    def log_message(self, *_: Any) -> None:
        """Say nothing: `requests` is the log."""

    def do_GET(self) -> None:
        registry = self.server.registry
        path = self._below()
        self._serve(f"GET {path}", lambda: registry.answer_confluent(path, self.headers.get("authorization")))

    def do_POST(self) -> None:
        registry = self.server.registry
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        target = self.headers.get("x-amz-target", "")
        if not target.startswith(_GLUE_TARGET):
            self._serve(f"POST {self._below()}", lambda: Reply(405, b"", _CONFLUENT_JSON))
            return
        action, asked = target.removeprefix(_GLUE_TARGET), json.loads(body)
        self._serve(
            f"{action} {asked.get('SchemaVersionId', '')}".rstrip(), lambda: registry.answer_glue(action, asked)
        )

    def _below(self) -> str:
        """The path below the registry's own, without its query."""
        return urllib.parse.urlsplit(self.path).path.removeprefix(self.server.registry.path)

    def _serve(self, request: str, answer: Callable[[], Reply]) -> None:
        registry = self.server.registry
        registry.requests.append(request)
        interference = None if registry.interfere is None else registry.interfere(request)
        if interference is None:
            self._send(answer())
            return
        self.server.closing.wait(interference.delay)
        if interference.drop or self.server.closing.is_set():
            self.close_connection = True
        elif interference.status:
            kind = _AWS_JSON if "x-amz-target" in self.headers else _CONFLUENT_JSON
            self._send(Reply(interference.status, interference.body, kind))
        else:
            self._send(answer())

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("content-length", str(len(reply.body)))
        if reply.kind:
            self.send_header("x-amzn-errortype", reply.kind)
        self.end_headers()
        self.wfile.write(reply.body)
