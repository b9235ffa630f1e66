"""Takes secrets out of whatever people read, and makes any value safe to print on one line.

Pure. Knows the secret values, not where they came from; shared by the logs and the status, so that
neither needs to know what is secret in a message that it passes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "********"
TEXT_LIMIT = 8_000
DEPTH_LIMIT = 6
LARGEST = 2**63
SHORT = 4
"""A secret below this length is masked only where it stands by itself: else it would blot out every word."""

LINE_OF_A_KEY = 16
"""Lines of a secret of several lines (a PEM key) from this length on are secrets themselves."""

_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """The text with all that could end a line, steer a terminal or fail to encode written as an escape."""
    return _BREAKING.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _NAMED.get(char, f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004 - a byte


class Scrubber:
    """Masks the given values in texts: as they are, and as JSON, repr() and URLs write them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(_expression(form) for form in ordered)) if ordered else None

    def __repr__(self) -> str:
        return "Scrubber(...)"

    def text(self, text: str) -> str:
        """The text without secrets."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def plain(self, value: Any, depth: int = DEPTH_LIMIT) -> Any:
        """The value in JSON types without secrets, long texts cut. Never raises, whatever the value is."""
        match value:
            case None | bool():
                return value
            case int() if type(value) is int and abs(value) < LARGEST:
                shown = self.text(str(value))
                return value if shown == str(value) else shown
            case float() if type(value) is float and math.isfinite(value):
                return value
            case Mapping() if depth:
                return {self._shown(key): self.plain(item, depth - 1) for key, item in value.items()}
            case list() | tuple() | set() | frozenset() if depth:
                return [self.plain(item, depth - 1) for item in value]
            case _:
                return self._shown(value)

    def _shown(self, value: Any) -> str:
        # Masked before it is cut: a cut through a secret would leave its first half.
        text = self.text(as_text(value))
        if len(text) > TEXT_LIMIT:
            text = f"{text[:TEXT_LIMIT]}... ({len(text) - TEXT_LIMIT} more)"
        return text.encode("utf-8", "backslashreplace").decode()


def _forms(secret: str) -> Iterator[str]:
    if not secret.strip():
        return
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    encodable = secret.encode("utf-8", "replace")
    yield quote(encodable, safe="")
    yield quote_plus(encodable)
    for line in secret.splitlines() if "\n" in secret else ():
        if len(line.strip()) >= LINE_OF_A_KEY and not line.startswith("-----"):
            yield line.strip()


def _expression(form: str) -> str:
    return re.escape(form) if len(form) >= SHORT else rf"(?<!\w){re.escape(form)}(?!\w)"


def as_text(value: Any) -> str:
    """`str()` that cannot fail; bytes as the text they probably are."""
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception as error:  # noqa: BLE001 - a value whose __str__ fails must not end the line, let alone the loop
        return f"<{type(value).__name__} that cannot be printed: {type(error).__name__}>"
