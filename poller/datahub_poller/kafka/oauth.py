"""What gives tokens, the user's `oauth_cb` or our own: found by name, asked for a first token at once, in words if not.

librdkafka hides what goes wrong in a callback behind a time-out of ten seconds.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.msk_iam import MskIam
from datahub_poller.msk import DATAHUBS, DATAHUBS_REGION, MSK_IAM, is_msk_iam
from datahub_poller.observe.logs import get_logger, log_event

KEY: Final = "source.config.connection.consumer_config.oauth_cb"
_AUTH: Final = "source.config.connection.auth"
LOG = get_logger("datahub_poller.kafka")

Token = tuple[Any, ...]
"""The token, when it expires in seconds since the epoch, and as the client likes: principal and extensions."""


class TokenSource:
    """What librdkafka calls for a token. `config` is its property sasl.oauthbearer.config.

    `failure` says why the last call gave none.
    """

    def __init__(self, name: str, config: str, wall: Callable[[], float] = time.time) -> None:
        self._name = name
        self._key = _AUTH if name == MSK_IAM else KEY
        self._wall = wall
        self.failure: str | None = None
        try:
            if is_msk_iam(name):
                default = DATAHUBS_REGION if name == DATAHUBS else None
                self._function: Callable[[str], Any] = MskIam(config, wall, default_region=default)
            else:
                self._function = _found(name)
            self._first: Token | None = self._asked(config)
            self._last: Token = self._first
        except CannotStart:
            raise
        except Exception as error:
            raise CannotStart(self._gives_none(error)) from error

    def __call__(self, config: str) -> Token:
        """Give the first token the first time, then a new one. Raises whatever the user's function does."""
        first, self._first = self._first, None
        if first is not None and first[1] > self._wall():
            return first
        try:
            given = self._asked(config)
        except Exception as error:
            self.failure = self._gives_none(error)
            log_event(LOG, logging.ERROR, "oauth_cb gives no token", function=self._name, exc_info=error)
            raise
        self.failure = None
        self._last = given
        return given

    def why_refused(self, answer: str) -> str:
        """The broker refused, and answered this: say what is known of the reason. May wait a second or two."""
        if self.failure is not None:
            return self.failure
        return f"{answer}: {self._function.why_refused()}" if isinstance(self._function, MskIam) else answer

    def again(self, _: str) -> Token:
        """Give a client beside the consumer what the consumer was given last. Raises if that has expired."""
        if not self._last[1] > self._wall():
            raise ValueError("the consumer's token has expired")
        return self._last

    def _gives_none(self, error: Exception) -> str:
        return f"{self._key}: {self._name!r} gives no token: {_said(error)}"

    def _asked(self, config: str) -> Token:
        given = self._function(config)
        match given:
            case (str(), int() | float() as expiry, *_) if not isinstance(expiry, bool):
                if not expiry > self._wall():  # nor is nan
                    raise ValueError(f"its token has expired (at {expiry:g} s since the epoch)")
                return tuple(given)
        raise TypeError(f"it must return (token, seconds since the epoch when it expires), not {_shape(given)}")


def _found(name: str) -> Callable[[str], Any]:
    """The user's function. Raises CannotStart."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the user's module may raise anything
        hint = "It is looked for among the installed packages and in handler.config.path"
        raise CannotStart(f"{KEY}: {name!r} cannot be loaded: {_said(error)}. {hint}") from error
    if not callable(function):
        raise CannotStart(f"{KEY}: {name!r} is no function: it is of type {type(function).__name__}")
    found: Callable[[str], Any] = function
    return found


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shape(value: object) -> str:
    """The types of a value: the value itself may hold a token."""
    if isinstance(value, list | tuple):
        return f"({', '.join(type(item).__name__ for item in value)})"
    return type(value).__name__
