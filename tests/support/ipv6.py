"""IPv6 on this machine's loopback: a container may have none."""

from __future__ import annotations

import socket

import pytest


def needs_ipv6() -> None:
    """Skip the test where ::1 cannot be listened on."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback ({error.strerror})")
