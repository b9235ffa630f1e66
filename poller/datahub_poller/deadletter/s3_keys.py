"""How letters lie in a bucket: keys, which sort by time, and which of them are letters. Pure.

`<prefix>/action=<name>/date=<UTC date>/<time to the millisecond>-<hash of the body>-<chance>.jsonl`
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Final

_LEDGER: Final = "_redrive"
_CHECK: Final = ".check"
_OURS: Final = re.compile(r"(.*/\d{8}T\d{6}\.\d{3}Z)-[0-9a-f]{16}-[0-9a-f]+\.jsonl", re.DOTALL)


def below(prefix: str, *parts: str) -> str:
    """A key under a prefix, which may be empty."""
    return "/".join([prefix, *parts] if prefix else parts)


def check_key(prefix: str) -> str:
    """The empty object that a check leaves."""
    return below(prefix, _CHECK)


def letters_of(prefix: str, action: str) -> str:
    """What the keys of an action's letters begin with; `action` is its normalised name."""
    return below(prefix, f"action={action}/")


def ledger_of(prefix: str, action: str) -> str:
    """What the keys of its ledger begin with."""
    return f"{letters_of(prefix, action)}{_LEDGER}/"


def letter_key(prefix: str, action: str, at: float, body: bytes, chance: str) -> str:
    """Where a body of lines goes that is written at `at` (epoch seconds); `chance` is a few hex digits."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{letters_of(prefix, action)}date={moment:%Y-%m-%d}/{_time(moment)}-{digest(body)}-{chance}.jsonl"


def ledger_key(prefix: str, action: str, at: float, chance: str) -> str:
    """Where what was done with letters is written down."""
    return f"{ledger_of(prefix, action)}{_time(datetime.fromtimestamp(at, UTC))}-{chance}.jsonl"


def rewritten(key: str, body: bytes, chance: str) -> str:
    """Where the rest of an object goes of which lines were taken: another key, in the same place of the order."""
    ours = _OURS.fullmatch(key)
    stem = ours[1] if ours else key.removesuffix(".jsonl")
    return f"{stem}-{digest(body)}-{chance}.jsonl"


def holds_letters(key: str) -> bool:
    """Whether an object below `action=<name>/` is to be read: not the ledger, nor a console's folder."""
    return not key.endswith(("/", f"/{_CHECK}")) and f"/{_LEDGER}/" not in f"/{key}"


def digest(body: bytes) -> str:
    """What tells bodies apart: 16 hex digits of the SHA-256."""
    return hashlib.sha256(body).hexdigest()[:16]


def _time(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03}Z"
