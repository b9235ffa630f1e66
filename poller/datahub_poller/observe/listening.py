"""Where a poller's status is served and asked for, and how such an address is written. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

DEFAULT_PORT: Final = 8470
LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - what an action file may say
"""All IPv4 addresses of the machine."""
EVERYWHERE_6: Final = "::"
"""All addresses of the machine, IPv4 and IPv6."""


def address_of(text: str) -> IPv4Address | IPv6Address:
    """The address. One that maps IPv4 into IPv6 (`::ffff:127.0.0.1`) is the IPv4 address. Raises ValueError."""
    address = ip_address(text)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_loopback(text: str) -> bool:
    """Whether this is an address that only the machine itself reaches."""
    try:
        return address_of(text).is_loopback
    except ValueError:
        return False


def in_url(host: str) -> str:
    """The host as a URL has it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def asked_at(host: str) -> str:
    """Where a poller that listens at `host` is asked from its own machine."""
    return LOOPBACK if host in (EVERYWHERE, EVERYWHERE_6) else host


def seen_at_loopback(host: str) -> bool:
    """Whether a poller that listens at `host` answers at `LOOPBACK`."""
    return asked_at(host) == LOOPBACK
