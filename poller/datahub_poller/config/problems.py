"""What is wrong with an action file, as data, and how it is told: file, key, what, value seen, remedy.

Knows nothing of the keys themselves. A value is shown only where it is asked for, and never a secret one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from datahub_poller.config.secrets import MASK, is_secret

KeyPath = tuple[str | int, ...]

SEEN_LIMIT = 80


class _Nothing:
    """Marks that no value is to be shown; `None` is a value."""


NOTHING: Final = _Nothing()


class Problem(NamedTuple):
    """One problem; `path` is where it is, from the file's top level or from the key whose check found it."""

    path: KeyPath
    what: str
    hint: str = ""
    seen: Any = NOTHING


class Wrong(ValueError):
    """A check's answer: what is wrong with a value, or with several places in it."""

    def __init__(self, what: str, hint: str = "", *, problems: Iterable[Problem] = (), show_value: bool = True) -> None:
        super().__init__("the value is wrong")
        self.show_value = show_value
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.what = what
        self.hint = hint


def shown(path: Iterable[str | int]) -> str:
    """The path as people write it: `filters[0].config.filter`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def told(problem: Problem, file: str, secrets: Collection[str] = ()) -> str:
    """The problem in one line."""
    where = shown(problem.path)
    seen = "" if problem.seen is NOTHING else f" (seen: {_seen(problem, secrets)})"
    hint = f". {problem.hint}" if problem.hint else ""
    return f"{file}: {where}: {problem.what}{seen}{hint}" if where else f"{file}: {problem.what}{seen}{hint}"


def _seen(problem: Problem, secrets: Collection[str]) -> str:
    value = problem.seen
    match value:
        case dict():
            return "a map"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
    text = str(value)
    if is_secret(problem.path) or any(secret in text for secret in secrets):
        return f"'{MASK}'"
    text = text if len(text) <= SEEN_LIMIT else text[:SEEN_LIMIT] + "..."
    return repr(text) if isinstance(value, str) else text


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint for a word that is not one of the known."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."
