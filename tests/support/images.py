"""Images as buildah makes them of a Dockerfile, in a storage of the tests' own; and their files, mounted.

Needs root and buildah; UnavailableError says what is missing. Nothing is pulled: a FROM names what is there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from support.containers import Container, tried
from support.jars import UnavailableError, program

ROOT = Path(__file__).parents[2]
BASE = "localhost/python-base"
PATIENCE = 500.0
_TAKES_OVER = ("global.cert", "global.index-url", "global.extra-index-url", "global.trusted-host", "global.proxy")
"""What pip is told on this machine that it has to be told in a build too."""


class Images:
    """A storage below `place`, an empty directory; its mounts go with `close`."""

    def __init__(self, place: Path) -> None:
        if os.geteuid() != 0:
            raise UnavailableError("needs root")
        self._place = place
        self._program = program("buildah")
        self._pip = _pip_settings(place)
        self._driver = "overlay"
        if self._run("images").returncode:
            self._driver = "vfs"  # slower, and everywhere

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmount, and remove what takes room."""
        self._run("rm", "--all")
        shutil.rmtree(self._place / "storage", ignore_errors=True)

    def from_tar(self, name: str, tar: Path) -> None:
        """An image of nothing but these files."""
        scratch = self._done("from", "scratch").strip()
        self._done("add", "--quiet", scratch, str(tar), "/")
        self._done("config", "--cmd", "python", scratch)
        self._done("commit", "--quiet", scratch, name)
        self._done("rm", scratch)

    def build(self, name: str, context: Path, dockerfile: Path, *options: str) -> str:
        """Build, and give what was printed. AssertionError with it where a step fails."""
        own = ("--layers", "--pull-never", "--format", "docker", "--isolation", "chroot")
        return self._done("bud", *own, *self._pip, *options, "-f", str(dockerfile), "-t", name, str(context))

    def config(self, name: str) -> dict[str, Any]:
        """What `docker inspect` calls Config: Env, User, Entrypoint, Cmd, WorkingDir, Healthcheck, StopSignal."""
        config: dict[str, Any] = json.loads(self._done("inspect", "--type", "image", name))["Docker"]["config"]
        return config

    def mounted(self, name: str) -> Path:
        """The root of a container that is made of an image."""
        container = self._done("from", "--pull-never", name).strip()
        return Path(self._done("mount", container).strip())

    def _done(self, *words: str) -> str:
        done = self._run(*words)
        assert done.returncode == 0, f"buildah {words[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        storage = self._place / "storage"
        own = ["--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", self._driver]
        command = [self._program, *own, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


class Built:
    """The poller's image, by the names of its base and itself; `place` is for what containers need while they run."""

    NAME = "localhost/datahub-poller"

    def __init__(self, images: Images, place: Path) -> None:
        self.images = images
        self._place = place

    def make(self, tar: Path) -> None:
        """Build it. AssertionError where that fails, UnavailableError where this machine runs no containers."""
        self.images.from_tar(BASE, tar)
        self.images.build(self.NAME, ROOT, ROOT / "infra/docker/Dockerfile", "--build-arg", f"PYTHON_IMAGE={BASE}")
        tried(self.container())

    def container(self, name: str = NAME, **more: Any) -> Container:
        """A container of this image, or of one made from it, with `more` as `Container` has it."""
        return Container(self._root(name), self.images.config(name), self._place, **more)

    @cache  # noqa: B019 - one for a session
    def _root(self, name: str) -> Path:
        return self.images.mounted(name)


def _pip_settings(place: Path) -> Sequence[str]:
    """Mounts of a build that let pip reach the index that this machine's pip reaches."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    )
    found = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        found[name.replace(":env:.", "global.")] = value.strip("'")
    kept = {name.removeprefix("global."): found[name] for name in _TAKES_OVER if name in found}
    settings = place / "pip.conf"
    settings.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
    mounts = [f"{settings}:/etc/pip.conf:ro"]
    if "cert" in kept:
        mounts.append(f"{kept['cert']}:{kept['cert']}:ro")
    return [word for mount in mounts for word in ("--volume", mount)]
