"""The first script of a machine of `infra/ec2/group.yaml` as it is, below a directory.

What changes the machine it runs on, or asks AWS, are stand-ins that write down how they are called. The environment is
a real one, by the name of Python 3.11 whatever Python runs the tests, into which the stand-in of pip puts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from cfnlint.decode import decode

from support.templates import INFRA

EC2: Final = INFRA / "ec2"
MACHINES_OWN: Final = tuple(file for kind in ("service", "sh", "py", "json") for file in sorted(EC2.glob(f"*.{kind}")))
"""What the machine's folder has of this repository, beside the wheel and its environment."""
DOCUMENT, _ = decode(str(EC2 / "group.yaml"))
_DATA = DOCUMENT["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]
SCRIPT: Final[str] = _DATA["UserData"]["Fn::Base64"]["Fn::Sub"]
_VENV = """
"$PYTHON" -m venv --without-pip "$3"
[ -e "$3/lib/python3.11" ] || ln -s "$(basename "$3"/lib/python3.*)" "$3/lib/python3.11"
cp "$(dirname "$0")/pip" "$3/bin/pip"
"""
_PIP = """
for word in "$@"; do
    if [ "${before:-}" = --target ]; then mkdir -p "$word"; touch "$word/wanted.py" "$word/json.py"; fi
    before=$word
done
exit "${PIP:-0}"
"""
_STAND_INS = {
    "dnf": "",
    "sleep": "",
    "journalctl": "echo its last words",
    "systemctl": 'case "$*" in *NRestarts*) echo "${NRESTARTS:-0}";; "is-active"*) exit "${INACTIVE:-0}";; esac',
    "aws": 'cp -R "$FILES/." "$4"',
    "python3.11": _VENV,
    "pip": _PIP,
    "cfn-signal": "",
    "amazon-cloudwatch-agent-ctl": "",
}
_NAMED = {"FilesBucket": "files", "FilesPrefix": "p", "AWS::Region": "r", "GroupName": "g", "AWS::StackName": "s"}


class FirstStart:
    """`files` is the folder of the bucket, with two action files and a handler; `machine` is the machine's root."""

    def __init__(self, directory: Path) -> None:
        self.files, self.machine = directory / "files", directory / "machine"
        self._programs, self._calls = directory / "programs", directory / "calls"
        self._directories()
        for each in MACHINES_OWN:
            shutil.copy(each, self.files)
        for name in ("datahub_poller-0.1.0-py3-none-any.whl", "requirements.txt"):
            (self.files / name).touch()
        for name in ("tag-sync.yaml", "owners.yaml", "tag_sync.py", "tag-sync.env"):
            (self.files / "actions" / name).write_text(name)

    def _directories(self) -> None:
        agent = self.machine / "opt/aws/amazon-cloudwatch-agent/bin"
        for each in (self.files / "actions", self.machine / "etc/systemd/system", agent, self._programs):
            each.mkdir(parents=True)
        (self.machine / "opt/aws/bin").mkdir()
        at = {"cfn-signal": self.machine / "opt/aws/bin", "amazon-cloudwatch-agent-ctl": agent}
        for name, body in _STAND_INS.items():
            program = at.get(name, self._programs) / name
            program.write_text(f'#!/bin/sh\necho "$(basename "$0") $*" >> {self._calls}\n{body}\n')
            program.chmod(0o755)

    def run(self, logs: str = "true", **environ: str) -> subprocess.CompletedProcess[str]:
        """`environ` is what stand-ins are told: PIP is its exit code, INACTIVE that of a unit, NRESTARTS a number."""
        script = SCRIPT
        for name, value in {**_NAMED, "CloudWatchLogs": logs}.items():
            script = script.replace(f"${{{name}}}", value)
        assert "${" not in script.replace("${!", "")
        script = script.replace("${!", "${")
        for place in ("/etc/", "/opt/"):
            script = script.replace(place, f"{self.machine}{place}")
        path = f"{self._programs}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return subprocess.run(
            ["bash", "-c", script],
            env={"PATH": path, "FILES": str(self.files), "PYTHON": sys.executable, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self, word: str) -> list[str]:
        """Calls of stand-ins that have this in them, a line each."""
        return [line for line in self._calls.read_text().splitlines() if word in line]

    def python(self, text: str) -> str:
        """What the environment's Python prints of this."""
        python = self.machine / "opt/datahub-poller/bin/python"
        done = subprocess.run([python, "-c", text], env={}, capture_output=True, text=True, check=True)
        return done.stdout
