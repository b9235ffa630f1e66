"""Where AWS's credentials come from, on loopback: the container's endpoint, and STS with its clock.

Real boto3 asks it over HTTP, as it does on ECS. Every question is written down.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from kafka.msk import REGION, Person
from support import recorded_calls

ARN: Final = "arn:aws:sts::123456789012:assumed-role/poller/datahub-poller"
_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"


class AwsIdentity:
    """Up inside a `with`. `give` makes credentials for whoever asks, in the container or by assuming a role.

    `refusal` is a code and a text that STS answers every question with; `apart` are seconds that its clock is ahead;
    `down` lets the container's endpoint fail. `agents` are the user agents of those who asked STS.
    """

    def __init__(self, give: Callable[[], Person]) -> None:
        self.give = give
        self.refusal: tuple[str, str] | None = None
        self.apart = 0.0
        self.down = False
        self.asked: list[dict[str, str]] = []
        self.agents: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """What a poller is started with whose container has a role."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/credentials",
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_ACCESS_KEY_ID": "",  # pollers of tests have some by default, and they would win
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def actions(self, action: str) -> list[dict[str, str]]:
        """The questions of this kind."""
        return [each for each in list(self.asked) if each["Action"] == action]

    def container(self) -> tuple[int, str]:
        """The answer of the container's endpoint."""
        self.asked.append({"Action": "container"})
        if self.down:
            return 500, "{}"
        person = self.give()
        document = {
            "AccessKeyId": person.access,
            "SecretAccessKey": person.secret,
            "Token": person.token,
            "Expiration": _moment(person.expires),
        }
        return 200, json.dumps(document)

    def sts(self, question: dict[str, str]) -> tuple[int, str]:
        """STS's answer."""
        self.asked.append(question)
        if self.refusal is not None:
            code, text = self.refusal
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            return 403, f'<ErrorResponse xmlns="{_NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'
        action = question["Action"]
        if action == "AssumeRole":
            person = self.give()
            inner = (
                f"<Credentials><AccessKeyId>{person.access}</AccessKeyId>"
                f"<SecretAccessKey>{person.secret}</SecretAccessKey><SessionToken>{person.token}</SessionToken>"
                f"<Expiration>{_moment(person.expires)}</Expiration></Credentials><AssumedRoleUser>"
                f"<AssumedRoleId>A:s</AssumedRoleId><Arn>{ARN}</Arn></AssumedRoleUser>"
            )
        else:
            inner = f"<Arn>{ARN}</Arn><UserId>A:s</UserId><Account>123456789012</Account>"
        result = f"<{action}Result>{inner}</{action}Result>"
        return 200, f'<{action}Response xmlns="{_NAMESPACE}">{result}</{action}Response>'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        identity = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one connection."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """Answer as the container's endpoint."""
                self._answer(*identity.container(), "application/json")

            def do_POST(self) -> None:
                """Answer as STS."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                identity.agents.append(self.headers["User-Agent"])
                recorded_calls.request("POST", self.path, self.headers, body, ours=True)
                asked = {key: values[0] for key, values in parse_qs(body.decode()).items()}
                self._answer(*identity.sts(asked), "text/xml")

            def date_time_string(self, timestamp: float | None = None) -> str:
                """The server's own time."""
                return formatdate((time.time() if timestamp is None else timestamp) + identity.apart, usegmt=True)

            def _answer(self, status: int, body: str, content: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing: what was asked is in `asked`."""

        return Handler


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, 2**32), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
