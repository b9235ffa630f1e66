"""What went wrong in a handler, in words of bounded size: the error's kind, its message, and the handler's own stack.

Nothing here fails, whatever the error's class does. It must not know who reads the words.
"""

from __future__ import annotations

import asyncio
import importlib
import traceback
from pathlib import Path
from typing import NamedTuple

MESSAGE_LIMIT = 2_000
STACK_LIMIT = 8_000

_KIND_LIMIT = 200
_LINEAGE_LIMIT = 50
_HEAD = 3_000  # of a long stack: how it was reached
_GAP = "\n... ({} characters left out) ...\n"
_GROUPS = 15  # members of an exception group that are shown, and levels of nesting

_OUR_DIRECTORIES = tuple(Path(file).parent for file in (__file__, asyncio.__file__, importlib.__file__))


class Fault(NamedTuple):
    """An exception in words. `kind` is its class, with its module unless that is builtin or ours.

    `lineage` has the class and its bases, the nearest first, named in the same way.
    """

    kind: str
    message: str
    stack: str
    lineage: tuple[str, ...] = ()


def fault_of(error: BaseException, own_files: tuple[str, ...] = ()) -> Fault:
    """`own_files` are further files whose frames, where a stack begins with them, are not the handler's."""
    lineage = tuple(_name(cls) for cls in type(error).__mro__[:_LINEAGE_LIMIT] if cls is not object)
    return Fault(_name(type(error)), _message(error), stack_of(error, own_files), lineage)


def stack_of(error: BaseException, own_files: tuple[str, ...] = ()) -> str:
    """The stack and causes as Python prints them, from the handler's first frame on; a long one without its middle."""
    try:
        told = traceback.TracebackException.from_exception(error, max_group_width=_GROUPS, max_group_depth=_GROUPS)
        _cut(told, own_files)
        return _shortened("".join(told.format()))
    except BaseException as failed:  # noqa: BLE001 - the error's class is not ours and may do anything
        return f"(the stack cannot be shown: {type(failed).__name__})"


def reached(error: BaseException) -> bool:
    """Whether the error came out of the handler's own code, not out of what looks it up and calls it."""
    return any(not _leads_there(frame.f_code.co_filename, ()) for frame, _ in traceback.walk_tb(error.__traceback__))


def _leads_there(filename: str, own_files: tuple[str, ...]) -> bool:
    return (
        filename.startswith("<frozen importlib") or filename in own_files or Path(filename).parent in _OUR_DIRECTORIES
    )


def _cut(first: traceback.TracebackException, own_files: tuple[str, ...]) -> None:
    """Drop the frames before the handler's first one, here and in every cause, context and member of a group."""
    ahead: list[traceback.TracebackException | None] = [first]
    while ahead:
        told = ahead.pop()
        if told is None:
            continue
        frames = told.stack
        while frames and _leads_there(frames[0].filename, own_files):
            del frames[0]
        ahead += [told.__cause__, told.__context__, *(told.exceptions or ())]


def _name(cls: type) -> str:
    module = cls.__module__
    name = (
        cls.__qualname__
        if module == "builtins" or module.startswith("datahub_handler.")
        else f"{module}.{cls.__qualname__}"
    )
    return name[:_KIND_LIMIT]


def _message(error: BaseException) -> str:
    try:
        text = str.__str__(str(error))
    except BaseException as failed:  # noqa: BLE001 - a broken __str__ must not hide the error
        return f"(the message cannot be shown: its __str__ raised {type(failed).__name__})"
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 3] + "..."


def _shortened(text: str) -> str:
    if len(text) <= STACK_LIMIT:
        return text
    gap = _GAP.format(len(text) - STACK_LIMIT)
    return text[:_HEAD] + gap + text[_HEAD + len(gap) - STACK_LIMIT :]
