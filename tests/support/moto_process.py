"""The process of `moto_server`: moto's own, with what programs of ours ask of it written down."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from moto import server

from support import recorded_calls

_HEADERS = ("HTTP_USER_AGENT", "HTTP_AUTHORIZATION", "HTTP_X_AMZ_")


class Recorded(server.DomainDispatcherApplication):
    """Shows each request to the recording first."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = {
            key.removeprefix("HTTP_").replace("_", "-"): value
            for key, value in environ.items()
            if key.startswith(_HEADERS)
        }
        recorded_calls.request(environ["REQUEST_METHOD"], environ["RAW_URI"], headers, _body(environ))
        return super().__call__(environ, start_response)


def _body(environ: dict[str, Any]) -> bytes:
    """The body, still to be read by others; empty for S3, whose requests say all in their first line."""
    if environ.get("CONTENT_TYPE", "").startswith(("application/x-amz-json", "application/x-www-form-urlencoded")):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        return body
    return b""


if __name__ == "__main__":
    if recorded_calls.recording() is not None:
        server.DomainDispatcherApplication = Recorded
    server.main()
