"""Reads a whole topic, beside every group: from its beginning, or where it was left, to its end as of the start.

Only what committed transactions wrote. It must not know what a record means.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from datahub_poller.errors import CannotStart, Fatal
from datahub_poller.kafka.browse import Browser, Span
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.produce_client import token_source
from datahub_poller.kafka.produce_settings import Settings
from datahub_poller.kafka.reach import MISSING, THERE
from datahub_poller.model import Record, TopicPartition
from datahub_poller.observe.logs import log_event
from datahub_poller.start import Earliest

READ_RECORDS: Final = 500
READ_SECONDS: Final = 0.1


class TopicLog:
    """A topic's records. `properties` are a consumer's, oauth_cb as `module:function`.

    `patience`: seconds that brokers get to answer, and that may pass without anything coming.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        topic: str,
        patience: float,
        clock: Callable[[], float],
        logger: logging.Logger,
        settings: Settings,
    ) -> None:
        self._properties = properties
        self._topic = topic
        self._patience = patience
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._token: TokenSource | None = None

    def records(self, begins: Mapping[TopicPartition, int]) -> Iterator[Record]:
        """Every record from `begins` on, a partition that is not in it from its beginning; of each in their order.

        Raises CannotStart where the topic cannot be read to its end.
        """
        with self._browser() as browser:
            spans = self._spans(browser)
            left = {
                tp: Span(max(span.begin, begins.get(tp, 0)), span.end)
                for tp, span in spans.items()
                if max(span.begin, begins.get(tp, 0)) < span.end
            }
            if left:
                browser.assign({tp: span.begin for tp, span in left.items()})
            yield from self._read(browser, {tp: span.end for tp, span in left.items()})

    def _read(self, browser: Browser, ends: dict[TopicPartition, int]) -> Iterator[Record]:
        """All below `ends`; takes from it what is read."""
        progress_at = self._clock()
        while ends:
            found = browser.read(READ_RECORDS, READ_SECONDS)
            reached = dict(found.ends)
            for record in found.records:
                if record.offset < ends.get(record.tp, 0):
                    yield record
                reached[record.tp] = max(record.offset + 1, reached.get(record.tp, 0))
            # What is no record any more is passed by the partition's end.
            if done := [tp for tp, offset in reached.items() if tp in ends and offset >= ends[tp]]:
                browser.drop(done)
            for tp in done:
                del ends[tp]
            now = self._clock()
            if reached:
                progress_at = now
            elif now - progress_at > self._patience:
                reason = browser.trouble.reason or "the brokers bring nothing"
                raise CannotStart(f"{self._where} cannot be read to its end: {reason}")

    def _spans(self, browser: Browser) -> dict[TopicPartition, Span]:
        state = browser.reach.ask([self._topic], self._patience)[self._topic]
        if state == MISSING:
            raise CannotStart(f"{self._where} does not exist. See {self._settings.topic}")
        if state != THERE:
            raise CannotStart(f"{state}, on {self._servers}")
        return browser.begin([self._topic], Earliest(), self._patience)

    @contextmanager
    def _browser(self) -> Iterator[Browser]:
        """A consumer for one pass; what it says of settings is put in terms of those that it is made of."""
        properties = self._with_token()
        try:
            browser = Browser(properties, self._clock, self._tell, self._logger)
            try:
                yield browser
            finally:
                browser.close()
        except Fatal as error:
            raise CannotStart(f"{self._where} cannot be read: {error}") from None
        except CannotStart as error:
            raise CannotStart(self._settings.in_words(str(error))) from None

    def _with_token(self) -> dict[str, Any]:
        callback = self._properties.get("oauth_cb")
        if callback is None:
            return dict(self._properties)
        if self._token is None:
            self._token = token_source(str(callback), self._properties, self._settings)
        return {**self._properties, "oauth_cb": self._token}

    def _tell(self, about: str) -> None:
        log_event(self._logger, logging.WARNING, "reading dead letters", about=about)

    @property
    def _servers(self) -> str:
        return str(self._properties.get("bootstrap.servers"))

    @property
    def _where(self) -> str:
        return f"topic {self._topic} on {self._servers}"
