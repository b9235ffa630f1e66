"""An image without a builder: the Dockerfile's own steps, run on overlays of this machine's root.

What the base image would be is this machine, its Python included. Needs root, namespaces and overlayfs; where they
are missing, UnavailableError says which. Nothing outside of the overlays is written to, and all goes with `close`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support.brokers import eventually
from support.dockerfile import Instruction, environment, in_context, last, stages
from support.jars import UnavailableError
from support.tether import tethered

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "mount")
_HOLD = r"""
set -e
mount -t tmpfs -o mode=755 image "$1"
for stage in 0 1; do
    mkdir -p "$1/$stage/upper" "$1/$stage/work" "$1/$stage/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/$stage/upper,workdir=$1/$stage/work" "$1/$stage/root"
    mount --rbind /dev "$1/$stage/root/dev"
    mount --rbind /proc "$1/$stage/root/proc"
    cp -L /etc/resolv.conf /etc/hosts "$1/$stage/root/etc/" 2>&1 || true
    # A base image's Python can be run by everyone; this one may live in a home directory.
    above=$2
    while [ "$above" != / ]; do above=$(dirname "$above"); chmod a+x "$1/$stage/root$above"; done
    if [ "$2" != /usr/local/bin/python ]; then
        rm -f "$1/$stage/root/usr/local/bin/python"
        printf '#!/bin/sh\nexec %s "$@"\n' "$2" > "$1/$stage/root/usr/local/bin/python"
        chmod 755 "$1/$stage/root/usr/local/bin/python"
    fi
    chroot "$1/$stage/root" /usr/local/bin/python -c 'import ensurepip, venv'
done
echo ready
exec sleep 86400
"""
_RUN = """
set -e
root=$1 action=$2 letters=$3; shift 3
mkdir -p "$root/etc/datahub-poller"
mount --bind "$action" "$root/etc/datahub-poller"
test -z "$letters" || mount --bind "$letters" "$root/var/lib/datahub-poller"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


class PretendImage:
    """Both stages of a Dockerfile after `build`. `place` is an empty directory."""

    def __init__(self, context: Path, place: Path) -> None:
        missing = [name for name in _TOOLS if shutil.which(name) is None]
        if os.geteuid() != 0 or missing:
            raise UnavailableError("needs root" if os.geteuid() else f"no {missing[0]} on PATH")
        self._stages = stages((context / "infra/docker/Dockerfile").read_text())
        self._place = place / "image"
        self._place.mkdir()
        self._context = place / "context"
        for name in in_context(context):
            (self._context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(context / name, self._context / name)
        python = os.path.realpath(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "sh", str(self._place), python]
        self._holder = subprocess.Popen(_wrapped(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            reason = self._holder.communicate()[1].strip().splitlines()
            raise UnavailableError(reason[-1] if reason else "no overlay of the root")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the overlays go."""
        self._holder.kill()
        self._holder.communicate()

    @property
    def image(self) -> list[Instruction]:
        """The stage that is kept."""
        return self._stages[-1]

    @property
    def uid(self) -> int:
        """Whom it runs as."""
        return int(last(self.image, "USER").text.split(":")[0])

    def build(self) -> None:
        """Run every RUN and COPY in order. Raises CalledProcessError with the step's output."""
        for number, stage in enumerate(self._stages):
            directory = "/"
            for step in stage:
                if step.name == "WORKDIR":
                    directory = step.text
                    self._outside(["mkdir", "-p", self._root(number) + directory])
                elif step.name == "COPY":
                    self._copy(number, directory, step.text.split())
                elif step.name == "RUN":
                    inside = ["env", f"--chdir={directory}", "sh", "-c", step.text]
                    self._outside(["chroot", self._root(number), *inside])

    def _copy(self, number: int, directory: str, words: list[str]) -> None:
        source = self._root(0) if words[0].startswith("--from=") else f"{self._context}/"
        *names, target = [word for word in words if not word.startswith("--")]
        into = target if target.startswith("/") else f"{directory}/{target}"
        for name in names:
            whole = f"{source}{name}"
            # As Docker has it: of a directory the content is copied.
            command = 'if [ -d "$1" ]; then mkdir -p "$2" && cp -a "$1/." "$2"; else mkdir -p "$3" && cp "$1" "$2"; fi'
            parent = into if into.endswith("/") else str(Path(into).parent)
            self._outside(["sh", "-ec", command, "sh", whole, self._root(number) + into, self._root(number) + parent])

    def command(
        self, words: Sequence[str], action: Path, letters: Path | None, environ: Mapping[str, str]
    ) -> list[str]:
        """Runs `words` as the first process of its own process namespace, as `docker run --read-only` would:

        `action` is mounted at /etc/datahub-poller, `letters` (if any) at the working directory.
        """
        env = environment(self.image, {"PATH": BASE_PATH}) | environ
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs"]
        inside = ["env", "-i", f"--chdir={last(self.image, 'WORKDIR').text}", *(f"{k}={v}" for k, v in env.items())]
        root = self._root(1)
        alone = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc"]
        mounted = ["sh", "-c", _RUN, "sh", root, str(action), str(letters or "")]
        return _wrapped([*self._entered(), *alone, *mounted, *user, *inside, *words])

    def _root(self, number: int) -> str:
        return f"{self._place}/{number}/root"

    def _entered(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]

    def _outside(self, command: list[str]) -> None:
        env = {name: it for name, it in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        done = subprocess.run(
            _wrapped([*self._entered(), *command]),
            env=env | {"PATH": BASE_PATH},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}")


class FirstProcess:
    """A command of `PretendImage.command` while it runs; its output goes to `log`."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("wb") as output:
            self._outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()  # and with it, by --kill-child, the one inside
        self._outer.wait()

    def pid(self) -> int:
        """Its number out here; in there it is 1."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        eventually(lambda: children.read_text().split(), "it has not begun")
        return int(children.read_text().split()[0])

    def terminate(self) -> None:
        """What `docker stop` sends."""
        os.kill(self.pid(), signal.SIGTERM)

    def wait(self, patience: float) -> int:
        """Its exit code."""
        return self._outer.wait(patience)


def _wrapped(command: Sequence[str]) -> list[str]:
    program = shutil.which(command[0])
    assert program is not None
    return tethered([program, *command[1:]])
