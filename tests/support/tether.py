"""Child processes that cannot outlive the test process, not even when that is killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# On Linux the kernel sends SIGKILL to the child when its parent goes (prctl PR_SET_PDEATHSIG survives exec).
# A launcher of its own sets it: a preexec_fn is not safe in a process with threads.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""


def tethered(command: Sequence[str]) -> list[str]:
    """The command, wrapped. Its first word is a full path; the process id is the program's own."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
