"""Variables in values expand as DataHub expands them; where DataHub raises, there is a problem with a path."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

from datahub_poller.config.expansion import expanded

pytestmark = pytest.mark.filterwarnings("ignore")

ENVIRON = {"A": "one", "EMPTY": "", "B": "two", "POINTER": "A", "NUMBER": "42"}

TEXTS = [
    "plain",
    "",
    "${A}",
    "x${A}y${B}z",
    "${UNSET}",
    "${UNSET:-default}",
    "${UNSET-default}",
    "${EMPTY:-default}",
    "${EMPTY-default}",
    "${EMPTY}",
    "${A:-default}",
    "${A:+other}",
    "${UNSET:+other}",
    "${A:?message}",
    "${UNSET:?message}",
    "${EMPTY:?}",
    "${UNSET:-${B}}",
    "${UNSET:-${UNSET}}",
    "${UNSET:=kept}",
    "\\${A}",
    "\\$A",
    "a\\b",
    "${A}\\",
    "$A",
    "$A/$B",
    "$UNSET",
    "$UNSET/${A}",
    "$",
    "$ ",
    "$1",
    "x$A",
    "pa$word",
    "pa$word${A}",
    "pa$A${B}",
    "${A",
    "${}",
    "${A}${",
    "${!POINTER}",
    "${#A}",
    "${A:1}",
    "${A:0:2}",
    "${A:1:-1}",
    "{A}",
    "$ConnectionString",
    "${A}\n${B}",
    "${A\n}",
]


@pytest.fixture(scope="module")
def resolver() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside DataHub's packages, at import
        from datahub.configuration.config_loader import EnvResolver
    return EnvResolver


def theirs(resolver: Any, text: str) -> str | None:
    """What DataHub makes of the value, `None` where it raises."""
    try:
        value: str = resolver(environ=dict(ENVIRON), register_secrets=False).resolve({"key": text})["key"]
    except Exception:
        return None
    return value


def ours(text: str) -> str | None:
    result = expanded({"key": text}, ENVIRON)
    assert all(problem.path == ("key",) for problem in result.problems)
    return None if result.problems else result.data["key"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_form_expands_as_in_datahub(resolver: Any, text: str) -> None:
    assert ours(text) == theirs(resolver, text)


def test_texts_made_of_the_pieces_of_the_syntax_expand_as_in_datahub(resolver: Any) -> None:
    rng = random.Random(7)
    pieces = [
        "$",
        "{",
        "}",
        "${",
        "${A}",
        "${UNSET:-",
        "${EMPTY",
        "$B",
        "A",
        "UNSET",
        ":",
        "-",
        "+",
        "?",
        "=",
        "\\",
        "!",
        "#",
        "x",
        " ",
        "1",
    ]
    expanded_ones = 0
    for _ in range(5_000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9)))
        if "$$" in text or "${$" in text:
            continue  # the process id
        assert ours(text) == theirs(resolver, text), text
        expanded_ones += ours(text) not in {None, text}
    assert expanded_ones > 100


def test_lists_and_maps_are_walked_and_keys_are_left_alone(resolver: Any) -> None:
    data = {"${A}": [{"x": "${A}"}, ["$B", 1, None, True, 1.5]], "n": "${NUMBER}"}
    result = expanded(data, ENVIRON)
    assert result.data == resolver(environ=dict(ENVIRON), register_secrets=False).resolve(data)
    assert not result.problems
