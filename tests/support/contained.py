"""Run as a program: `contained.py FILE WORD ...` becomes a container by runc, with these words as its command.

What it is made of stands in the file (`containers.Container`), and which variables are handed on. Signals go to its
process 1, as an engine's do, and its exit code is this one's. It does not outlive this process, however that ends, and
is called `poller-` and this process' id.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_OURS = ("cgroup", "sysfs")
"""Kinds of mounts that are left out: the limits of a group of processes are not what is tried."""


def bundle(container: dict[str, Any], words: list[str], directory: str) -> str:
    """A directory as runc wants it: read-only root, no rights, process 1 of its own, this machine's network."""
    subprocess.run([container["runc"], "spec", "--bundle", directory], check=True)
    path = Path(directory, "config.json")
    spec = json.loads(path.read_text())
    config = container["config"]
    user, _, group = config["User"].partition(":")
    beginnings = tuple(container["hands_on"])
    handed_on = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(beginnings)]
    spec["root"] = {"path": container["root"], "readonly": True}
    spec["process"] = {
        "terminal": False,
        "user": {"uid": int(user or 0), "gid": int(group or 0)},
        "args": [*(container["entrypoint"] or config["Entrypoint"] or []), *(words or config["Cmd"])],
        "env": [*config["Env"], *container["env"], *handed_on],
        "cwd": config["WorkingDir"] or "/",
        "capabilities": {},
        "noNewPrivileges": True,
    }
    spec["mounts"] = [each for each in spec["mounts"] if each["type"] not in _OURS] + [
        {"destination": inside, "type": "bind", "source": outside, "options": ["rbind", mode]}
        for outside, inside, mode in container["mounts"]
    ]
    linux = spec["linux"]
    linux.pop("resources", None)
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] not in ("network", "cgroup")]
    path.write_text(json.dumps(spec))
    return directory


def main(file: str, *words: str) -> None:
    """Become runc; a child waits until that has gone, and takes away what is left."""
    container = json.loads(Path(file).read_text())
    directory = bundle(container, list(words), tempfile.mkdtemp(dir=container["place"]))
    name = f"poller-{os.getpid()}"
    runc = [container["runc"], "--root", container["place"]]
    alive, until_gone = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(until_gone)
        for number in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        os.read(alive, 1)
        subprocess.run([*runc, "delete", "--force", name], check=False)
        os._exit(0)
    os.set_inheritable(until_gone, True)  # runc keeps it, and what it starts does not
    os.execv(runc[0], [*runc, "run", "--bundle", directory, name])


if __name__ == "__main__":
    main(*sys.argv[1:])
