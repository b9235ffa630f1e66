"""Where a poller's status is served and asked for, unless the action file says otherwise."""

from __future__ import annotations

from typing import Final

DEFAULT_PORT: Final = 8470
LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - what an action file may say
"""All addresses of the machine: asked from itself, it is loopback."""
