"""An action file from disk to an `ActionFile`, or one `ConfigError` with everything that is wrong with it.

The order: read, parse, expand variables, check every value, fold DataHub's spellings in, check the rules between
keys. Later steps run in spite of earlier problems where they can, so that a person sees all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from datahub_poller.config.container import HEALTH_CHECK_PORT, Container, stop_warning
from datahub_poller.config.documents import parse, read
from datahub_poller.config.expansion import expanded
from datahub_poller.config.models import ActionFile, Notes
from datahub_poller.config.problems import KeyPath, Problem, Wrong, told
from datahub_poller.config.properties import consumer_properties
from datahub_poller.config.quantities import duration_text, has_zone
from datahub_poller.config.rules import filters_problems, revoke_wait, rule_problems, subscription_problems
from datahub_poller.config.secrets import secret_literals
from datahub_poller.config.spellings import (
    changed,
    folded,
    spelling_problems,
    spelling_warnings,
    value_at,
    without_empty,
)
from datahub_poller.config.validation import validated
from datahub_poller.errors import ConfigError
from datahub_poller.filter_doubts import filter_doubts
from datahub_poller.filter_shape import filter_warnings
from datahub_poller.filters import compile_filters
from datahub_poller.observe.listening import EVERYWHERE, LOOPBACK, seen_at_loopback

_FILTER_KEYS = (("filters",), ("filter",))
_CONSUMER_CONFIG: KeyPath = ("source", "config", "connection", "consumer_config")
_TIMED: tuple[KeyPath, ...] = (("shutdown", "deadline"), (*_CONSUMER_CONFIG, "max.poll.interval.ms"))


def load(
    path: Path, environ: Mapping[str, str], *, container: Container | None = None, now: datetime | None = None
) -> ActionFile:
    """The action file at the path.

    `container`: where letters would be lost with a container, that is a problem; `None` leaves this unchecked.
    Raises ConfigError.
    """
    data = _parsed(path)
    return parse_action(data, environ, file=str(path), directory=path.parent, container=container, now=now)


def load_enabled(
    path: Path, environ: Mapping[str, str], *, container: Container | None = None, now: datetime | None = None
) -> ActionFile | None:
    """As `load`; None where `enabled` is false: then nothing else in the file is checked, but that it parses."""
    data = _parsed(path)
    if _is_disabled(data, environ):
        return None
    return parse_action(data, environ, file=str(path), directory=path.parent, container=container, now=now)


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        return parse(read(path), path.suffix)
    except Wrong as wrong:
        raise ConfigError(_told(wrong, str(path))) from None


def _is_disabled(data: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """What cannot be told to be false is for the full check to judge."""
    try:
        # All of the data: a `${NAME:=value}` further up may set what `enabled` names.
        return not TypeAdapter(bool).validate_python(expanded(data, environ).data.get("enabled", True))
    except (Wrong, ValidationError):
        return False


def parse_action(
    data: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    file: str = "action",
    directory: Path = Path(),
    container: Container | None = None,
    now: datetime | None = None,
) -> ActionFile:
    """The action file that the plain data of one describes; the rest as in `load`."""
    try:
        expansion = expanded(data, environ)
    except Wrong as wrong:
        raise ConfigError(_told(wrong, file)) from None
    raw = without_empty(expansion.data)
    given, problems, touched = validated(raw)
    filter_faults = filters_problems(raw)
    problems = [problem for problem in problems if problem.path[:1] not in _FILTER_KEYS] + filter_faults
    action = None
    if given is not None:
        action = folded(given, environ)
        moment = datetime.now(UTC) if now is None else now
        found = [*_between_keys(given, action, environ, moment), *_about_filters(action, filter_faults)]
        found += _container_problems(action, container)
        problems += [problem for problem in found if not _concerns(problem, touched)]
    if touched and not problems:
        problems = [Problem(path, "is wrong") for path in touched]  # never take a stand-in for the real thing
    hidden = [problem for problem in problems if not _below_any(problem.path, expansion.problems)]
    if expansion.problems or problems or action is None or given is None:
        secrets = frozenset({*expansion.secrets, *secret_literals(raw), *secret_literals(data)})
        raise ConfigError([told(problem, file, secrets) for problem in [*expansion.problems, *hidden]])
    finished = _finished(given, action, raw, environ, directory, expansion.secrets)
    finished.warn(_unseen_by_the_image(finished, environ.get(HEALTH_CHECK_PORT, "")))
    return finished


def _told(wrong: Wrong, file: str) -> list[str]:
    if wrong.problems:
        return [told(problem, file) for problem in wrong.problems]
    return [told(Problem((), wrong.what, f"{wrong.hint}." if wrong.hint else ""), file)]


def _between_keys(
    given: ActionFile, action: ActionFile, environ: Mapping[str, str], now: datetime
) -> Iterable[Problem]:
    properties, _ = consumer_properties(action, environ)
    yield from spelling_problems(given)
    yield from rule_problems(action, properties, _given_keys(given), now)


def _about_filters(action: ActionFile, faults: list[Problem]) -> Iterable[Problem]:
    return () if faults else subscription_problems(action, compile_filters(action.filters, action.filter))


def _container_problems(action: ActionFile, container: Container | None) -> Iterable[Problem]:
    own = action.dead_letter.config
    if action.dead_letter.type != "file":
        return
    if container is None or own.ephemeral == "accept" or container.keeps(action.letters_directory):
        return
    path: KeyPath = ("dead_letter", "config", "directory")
    if own.directory is None:
        path = ("options", "failed_events_dir")
    what = "is inside the container, and dead letters in it are lost when the container goes"
    hint = "Mount a volume there, or say dead_letter: {config: {ephemeral: accept}}."
    yield Problem(path, what, hint, str(action.letters_directory))


def _unseen_by_the_image(action: ActionFile, asked: str) -> Iterable[str]:
    """Where the health check, if there is one that asks this port on loopback, would not find the poller."""
    status = action.status
    if not asked:
        return
    if not seen_at_loopback(status.host):
        yield (
            f"status.host is {status.host}: the image's health check asks {LOOPBACK} and will fail. Set it to "
            f"{EVERYWHERE}, or give the container a check of its own"
        )
    if str(status.port) != asked:
        yield (
            f"status.port is {'off' if status.port is None else status.port}: the image's health check asks "
            f"{asked} and will fail. Give the container a check of its own"
        )


def _given_keys(section: BaseModel, path: KeyPath = ()) -> frozenset[KeyPath]:
    """The paths of all keys that the file itself sets."""
    keys: set[KeyPath] = set()
    for name in section.model_fields_set:
        value = getattr(section, name)
        keys.add((*path, name))
        if isinstance(value, BaseModel):
            keys |= _given_keys(value, (*path, name))
    return frozenset(keys)


def _concerns(problem: Problem, touched: frozenset[KeyPath]) -> bool:
    """Does the problem only come from what the stand-in lacks or invents?"""
    if problem.path in _TIMED and any(path[: len(_CONSUMER_CONFIG)] == _CONSUMER_CONFIG for path in touched):
        return True
    return any(problem.path[: len(path)] == path or path[: len(problem.path)] == problem.path for path in touched)


def _below_any(path: KeyPath, problems: Iterable[Problem]) -> bool:
    return any(path[: len(problem.path)] == problem.path for problem in problems)


def _finished(
    given: ActionFile,
    action: ActionFile,
    raw: Mapping[str, Any],
    environ: Mapping[str, str],
    directory: Path,
    secrets: Iterable[str],
) -> ActionFile:
    """The action with its paths made whole, and what loading found out noted on it."""
    action = changed(action, ("handler", "config", "path"), (directory / action.handler.config.path).absolute())
    properties, _ = consumer_properties(action, environ)
    wait = revoke_wait(action, properties, _given_keys(given))
    warnings = [*_warnings(given, action, raw), *spelling_warnings(given, raw)]
    if wait < action.shutdown.deadline:
        warnings.append(
            f"shutdown.deadline is shortened to {duration_text(round(wait, 3))} when partitions move away: "
            "max.poll.interval.ms leaves no more room"
        )
    if (stop := stop_warning(action.shutdown.deadline, environ)) is not None:
        warnings.append(stop)
    action.note(Notes(tuple(warnings), frozenset(secrets), wait, Path.cwd()))
    return action


def _warnings(given: ActionFile, action: ActionFile, raw: Mapping[str, Any]) -> Iterable[str]:
    if ":" in action.name:
        yield "name holds a colon: Amazon MSK shows no lag metrics for such a consumer group"
    if not has_zone(value_at(raw, ("source", "config", "start"))):
        yield "source.config.start names no time zone and is taken as UTC"
    most = given.dead_letter.breaker.in_a_row
    if action.options.failure_mode == "CONTINUE" and not action.retry.bisect and most <= action.batch.size:
        yield (
            f"retry.bisect is off and dead_letter.breaker.in_a_row ({most}) is not above batch.size "
            f"({action.batch.size}): one batch that fails opens the breaker"
        )
    for warning in (*filter_warnings(given.filters, given.filter), *filter_doubts(given.filters, given.filter)):
        yield str(warning)
