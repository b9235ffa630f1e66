"""How deep JSON may nest: a limit of our own, the same on every interpreter, far below where readers end by themselves.

Pure. Python's reader gives up at a depth that differs by version, orjson's at 1,024 and its writer at 254.
"""

from __future__ import annotations

from typing import Any, Final

MOST: Final = 200
TOO_DEEP: Final = f"it nests deeper than {MOST} values"


def may_be_deep(text: bytes | str) -> bool:
    """Whether a text has enough brackets to nest too deeply; few have, and this is cheap."""
    if isinstance(text, bytes):
        return text.count(b"[") + text.count(b"{") > MOST
    return text.count("[") + text.count("{") > MOST


def is_deep(value: Any) -> bool:
    """Whether plain data nests too deeply. Without recursion."""
    level = [value]
    for _ in range(MOST):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
