"""What a handler may raise to say whether another try is worth it. Any other exception is tried again, too.

Standard library only. How often, and what comes after the last try, is said in the action file under `retry`.
"""

from __future__ import annotations


class DoNotRetry(Exception):
    """Another try would fail as this one did: the poller goes straight to finding the failing records."""


class Retryable(Exception):
    """Another try may succeed, whatever `retry.fatal` says of the classes that this one is derived from."""
