"""Who is at the keyboard: what the logs and ledgers say unless a person says otherwise."""

from __future__ import annotations

import getpass
import os
import socket


def user_at_host() -> str:
    """Such as `alice@bastion`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # in a container, the user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
