"""Which proxy the environment names for a URL, as Python's HTTP clients read it, and how to say so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

AWS_REMEDY: Final = "correct HTTPS_PROXY (or HTTP_PROXY) in the environment, or name the endpoint's host in NO_PROXY"
"""For botocore's ProxyConnectionError, whose text names the proxy."""
_AUTHENTICATION: Final = 407


class Proxy(NamedTuple):
    """`url` has no credentials. `named_by` is the environment's variable, or a key of the action file."""

    url: str
    named_by: str
    remedy: str

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.named_by})"


def is_proxys(code: str) -> bool:
    """Whether botocore's name for an error means that a proxy is away, or refuses."""
    return code in ("ProxyConnectionError", "InvalidProxiesConfigError", str(_AUTHENTICATION))


def without_credentials(url: str) -> str:
    """The URL without the user and the password in it, however wrong it is."""
    before, at, after = url.strip().rpartition("@")
    scheme, slashes, _ = before.rpartition("//")
    return f"{scheme}{slashes}{after}" if at else after


def proxy_of(url: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that names the proxy for this URL, and its value with any credentials. None: there is no proxy."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    _, excepted = _value("no_proxy", environ)
    if _is_excepted(host, port, excepted):
        return None
    for word in (f"{parts.scheme}_proxy", "all_proxy"):
        name, value = _value(word, environ)
        if value:
            return name, value
    return None


def _value(word: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Lower case wins, an empty value too: so does Python's `urllib`."""
    name = word if word in environ else word.upper()
    return name, environ.get(name, "")


def _is_excepted(host: str, port: int | None, excepted: str) -> bool:
    if excepted.strip() == "*":
        return True
    host = host.lower()
    here = (host, f"{host}:{port}")
    for each in excepted.split(","):
        name = each.strip().lstrip(".").lower()
        if name and any(it == name or it.endswith(f".{name}") for it in here):
            return True
    return False
