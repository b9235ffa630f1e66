"""Run as a program: what follows becomes process 1 of its own namespace, on a root that cannot be written to.

As in a container: signals without a handler of their own are not delivered to process 1, and it alone can be written to
that is mounted (the first argument, a directory). Needs root and util-linux.
"""

from __future__ import annotations

import os
import sys

_SCRIPT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
shift
exec "$@"
"""

if __name__ == "__main__":
    directory, *words = sys.argv[1:]
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _SCRIPT, "sh"]
    os.execvp(command[0], [*command, directory, sys.executable, "-m", "datahub_poller", *words])
