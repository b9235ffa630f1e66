"""The parts of `tail` made and wired: the topics to read, the consumer beside the group, and what decodes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from datahub_poller import app
from datahub_poller.config import ActionFile, consumer_properties
from datahub_poller.decode.schemas import Schemas
from datahub_poller.errors import CannotStart, ConfigError
from datahub_poller.filters import Filter, compile_filters
from datahub_poller.intake import Intake
from datahub_poller.kafka.browse import Browser, Last
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.reach import MISSING, THERE
from datahub_poller.observe.logs import get_logger
from datahub_poller.tailing.reading import Fetches, Tail, Wanted

LOOK_BACK = 500
"""Where filters drop records, so many of each partition at least are looked at for the newest events."""


def topics_of(action: ActionFile, admitted: Filter, wanted: Wanted) -> tuple[str, ...]:
    """The topics to read. Raises ConfigError for one that is named in vain, CannotStart where none is left."""
    routed = tuple(dict.fromkeys(action.source.config.topic_routes.values()))
    open_ones = app.topics(action, admitted) if wanted.filtered else routed
    problems = []
    for topic in wanted.topics:
        if topic not in routed:
            problems.append(f"--topic {topic}: not one of source.config.topic_routes: {', '.join(routed)}")
        elif topic not in open_ones:
            problems.append(f"--topic {topic}: no event of it passes the filters. Add --no-filter")
    if problems:
        raise ConfigError(problems)
    if not open_ones:
        raise CannotStart("filters: no event of any topic passes them; there is nothing to consume")
    return tuple(dict.fromkeys(wanted.topics)) or open_ones


def open_browser(action: ActionFile, environ: Mapping[str, str], tell: Callable[[str], None]) -> Browser:
    """A consumer beside the group, with the action's properties. Raises CannotStart."""
    properties, _ = consumer_properties(action, environ)
    if (callback := properties.get("oauth_cb")) is not None:
        sys.path.append(str(action.handler.config.path.resolve()))  # where it is looked for, and no handler is loaded
        properties["oauth_cb"] = TokenSource(callback, str(properties.get("sasl.oauthbearer.config", "")))
    return Browser(properties, time.monotonic, tell, get_logger("datahub_poller.kafka"))


def tail(
    action: ActionFile, environ: Mapping[str, str], browser: Browser, wanted: Wanted, tell: Callable[[str], None]
) -> Tail:
    """All of it wired, and the broker asked where to begin. Raises CannotStart, ConfigError."""
    admitted = compile_filters(action.filters, action.filter)
    topics = topics_of(action, admitted, wanted)
    patience = action.source.config.connection.client_timeout_seconds
    _refuse_missing(browser.reach.ask(topics, patience))
    begin = wanted.begin
    if isinstance(begin, Last) and wanted.filtered and begin.records and (action.filters or action.filter):
        begin = Last(max(begin.records, LOOK_BACK))
    spans = browser.begin(topics, begin, patience)
    fetches = Fetches()
    schemas = Schemas(app.registries(action, environ), fetches.submit)
    intake = Intake(
        framing=action.source.config.schema_registry.type,
        routes={topic: route for route, topic in action.source.config.topic_routes.items()},
        schemas=schemas,
        filter=admitted if wanted.filtered else compile_filters([], None),
        cluster_id=browser.reach.cluster_id(topics[0]),
    )
    return Tail(browser, intake, fetches, spans, wanted, admitted, patience, time.monotonic, tell)


def _refuse_missing(states: Mapping[str, str]) -> None:
    found = []
    for topic, state in states.items():
        if state == MISSING:
            found.append(
                f"topic {topic}: {MISSING}. See source.config.topic_routes, or name those to show with --topic"
            )
        elif state != THERE:
            found.append(state)
    if found:
        raise CannotStart("; ".join(found))
