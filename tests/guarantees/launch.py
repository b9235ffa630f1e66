"""`python -m datahub_poller`, prepared to die or to be wrong: run in its place, with the same arguments.

DIE_AT=point:N kills the process at the Nth passage of a point (`points`); BROKEN=name puts a bug into it (`broken`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Prepare, and run the command."""
    sys.path[:1] = [str(ROOT / part) for part in ("poller", "handler", "tests")]  # instead of this folder
    from datahub_poller import cli
    from guarantees import broken, points

    if bug := os.environ.get("BROKEN", ""):
        broken.BROKEN[bug].put_in()
    if point := os.environ.get("DIE_AT", ""):
        points.die_at(point)
    cli.main()


if __name__ == "__main__":
    main()
