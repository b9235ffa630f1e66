"""`make bench-quick`, `make bench`: see `command.py`. Puts what it imports on the path, and no more."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.pop(0)  # this directory: its modules go by their package's name
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "handler"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "poller"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.command import command

if __name__ == "__main__":
    sys.exit(command())
