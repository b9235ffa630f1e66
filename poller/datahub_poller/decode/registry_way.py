"""The proxy on the way to a registry, as the cause of what fails: who refused, and what to do. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from datahub_poller.proxies import Proxy

_AUTHENTICATION: Final = 407
_EITHERS: Final = frozenset({403, 502, 503, 504})
"""What a proxy answers in its own name, or hands on from behind it."""
_UNREACHED: Final = frozenset({"ConnectError", "ConnectTimeout"})


class RegistryWay(NamedTuple):
    """`tunnel`: the proxy sees no answer of the registry's, so that whatever it answers is its own."""

    proxy: Proxy | None
    tunnel: bool

    def failed(self, error: BaseException) -> str | None:
        """What to say of a request without an answer. The connection goes to the proxy, if there is one."""
        if self.proxy is None:
            return None
        kind = type(error).__name__
        if kind == "ProxyError":
            return f"{self.proxy} refuses: {self.proxy.remedy}"
        if kind in _UNREACHED:
            return f"{self.proxy} cannot be reached: {self.proxy.remedy}"
        return f"it is asked through {self.proxy}"

    def refused(self, status: int) -> str | None:
        """What to say of an answer that is the proxy's; None where it may be the registry's."""
        if self.proxy is None or self.tunnel or status != _AUTHENTICATION:
            return None
        return f"gives no answer: {self.proxy} refuses (HTTP {status}): {self.proxy.remedy}"

    def perhaps(self, status: int) -> str:
        """What to add to an answer that may be the proxy's."""
        if self.proxy is None or self.tunnel or status not in _EITHERS:
            return ""
        return f" (from {self.proxy} or through it: {self.proxy.remedy})"

    def unusable(self, error: BaseException) -> str | None:
        """What to say where the client cannot be made because of the proxy's URL."""
        if self.proxy is None or "proxy" not in str(error).lower():
            return None
        return f"{self.proxy} cannot be used: {self.proxy.remedy}"
