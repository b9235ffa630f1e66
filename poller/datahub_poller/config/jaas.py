"""The text of Java's `sasl.jaas.config`, read as Kafka's clients read it. Pure. No error holds text of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""(?P<blank>[\x00-\x20]+|//[^\r\n]*|/\*.*?(?:\*/|\Z))
    |(?P<quoted>"(?:[^"\\\r\n]|\\[^\r\n])*"|'(?:[^'\\\r\n]|\\[^\r\n])*')
    |(?P<word>[A-Za-z_$\u00a0-\U0010ffff][A-Za-z0-9._$\u00a0-\U0010ffff-]*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)")
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_FLAGS: Final = frozenset({"required", "requisite", "sufficient", "optional"})


class Login(NamedTuple):
    """A login module's class and its options."""

    module: str
    options: dict[str, str]


class _Token(NamedTuple):
    """`text` is None where Java's reader has no text: for a number or a sign."""

    sign: str
    text: str | None


def logins(text: str) -> list[Login]:
    """The login modules in their order. Raises ValueError."""
    tokens = _tokens(text)
    found = []
    for token in tokens:
        if token.text is None:
            raise ValueError("it must begin with the class of a login module")
        flag = next(tokens, None)
        if flag is None or (flag.text or "").lower() not in _FLAGS:
            raise ValueError("behind the login module's class must stand required, or another control flag")
        found.append(Login(token.text, _options(tokens)))
    return found


def _options(tokens: Iterator[_Token]) -> dict[str, str]:
    options: dict[str, str] = {}
    for token in tokens:
        if token.sign == ";":
            return options
        if token.text is None:
            raise ValueError("an option must be name=value")
        equals, value = next(tokens, None), next(tokens, None)
        if equals is None or equals.sign != "=" or value is None or value.text is None:
            raise ValueError(
                f"the option {len(options) + 1} has no value; a value that is no plain word stands in quotes"
            )
        options[token.text] = value.text
    raise ValueError("it must end with ;")


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        match match.lastgroup:
            case "quoted":
                yield _Token("", _ESCAPE.sub(_unescaped, match.group()[1:-1]))
            case "word":
                yield _Token("", match.group())
            case "sign":
                yield _Token(match.group(), None)


def _unescaped(match: re.Match[str]) -> str:
    what = match[1]
    return chr(int(what, 8)) if what[0] in "01234567" else _ESCAPES.get(what, what)
