"""What every thread of the process is doing: file, line and function, no values. For somebody who looks later."""

from __future__ import annotations

import sys
import threading
import traceback

DEEPEST = 30


def stacks() -> str:
    """The stacks of all threads, each with its thread's name, the innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame)[-DEEPEST:])}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - nothing public gives other threads' frames
    )
