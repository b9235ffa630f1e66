"""The pages of a running poller's status port, asked as a load balancer or Prometheus asks them."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from datahub_poller.observe.catalogue import PREFIX
from support.metrics_read import parsed
from support.running import Running


def address(poller: Running) -> tuple[str, int]:
    (line,) = poller.lines("status is served")
    parts = urlsplit(line["url"])
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def get(poller: Running, path: str, host: str | None = None, **headers: str) -> tuple[int, str, str]:
    there, port = address(poller)
    connection = http.client.HTTPConnection(there if host is None else host, port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def metrics(poller: Running) -> dict[str, dict[tuple, float]]:
    code, kind, text = get(poller, "/metrics")
    assert (code, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {name.removeprefix(PREFIX): values for name, values in parsed(text).items()}
