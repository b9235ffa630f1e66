"""`python -m datahub_poller`, run in its place: what it looks at in a queue is hidden for SOON seconds, not minutes.

What a killed reader held shows itself when that time is over, which a test would have to wait for.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOON = 4


def main() -> None:
    """Prepare, and run the command."""
    sys.path[:1] = [str(ROOT / part) for part in ("poller", "handler")]  # instead of this folder
    from datahub_poller import cli
    from datahub_poller.deadletter import sqs_store

    vars(sqs_store)["SqsStore"] = functools.partial(sqs_store.SqsStore, hidden=SOON)
    cli.main()


if __name__ == "__main__":
    main()
