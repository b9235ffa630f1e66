"""The two products as their users run them: an action file, a process, a supervisor that starts it again.

Owns their settings, which are their defaults but for what a trace needs and what their own documentation asks for; and
where either leaves its dead letters. Knows nothing of faults.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import yaml

import datahub_poller
from compare_loss import acting
from compare_loss.counting import Outcome, Seen, counted
from datahub_poller.demo.process import poller_environment
from support.brokers import Bed
from support.commands import POLLER, environment
from support.letters import parsed
from support.recorded import Place
from support.tether import tethered

Product = Literal["DataHub Actions", "datahub-poller"]
PRODUCTS: tuple[Product, Product] = ("DataHub Actions", "datahub-poller")
HERE = Path(__file__).resolve().parent
STOP_SECONDS = 40.0
# The command beside this Python: what `pip install acryl-datahub-actions` gives its users.
DATAHUB_ACTIONS = (sys.executable, str(Path(sys.executable).with_name("datahub-actions")), "actions", "run")
NEEDED = ("acryl-datahub-actions", "acryl-datahub", "confluent-kafka")


def versions() -> dict[str, str]:
    return {**{name: version(name) for name in NEEDED}, "datahub-poller": datahub_poller.__version__}


class Side:
    """One product on a topic, in a directory of its own, with a group of its own."""

    def __init__(
        self, product: Product, above: Path, bed: Bed, registry: str, topic: str, plan: Mapping[str, Any]
    ) -> None:
        self.product = product
        name = product.lower().replace(" ", "-")
        directory = above / name
        self.group = f"{topic}-{name}"
        self.restarts = 0
        self.gave_up = False
        self._bed = bed
        self._topic = topic
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        for module in ("acting.py", "their_action.py", "our_handler.py"):
            shutil.copy(HERE / module, directory)
        (directory / acting.PLAN.name).write_text(json.dumps(plan))
        (directory / "action.yaml").write_text(yaml.safe_dump(self._action(registry), sort_keys=False))

    def _action(self, registry: str) -> dict[str, Any]:
        """Both have the same source and the same options; each has its own way to name the function."""
        connection = {
            "bootstrap": self._bed.bootstrap,
            "schema_registry_url": registry,
            # A first start that begins at the trace's beginning, and a restart without a commit that loses nothing.
            "consumer_config": {"auto.offset.reset": "earliest"},
        }
        shared = {
            "name": self.group,
            "source": {"type": "kafka", "config": {"connection": connection, "topic_routes": {"pe": self._topic}}},
            "options": {"failure_mode": "CONTINUE", "failed_events_dir": str(self._directory / "letters")},
        }
        if self.product == "DataHub Actions":
            return {**shared, "action": {"type": "their_action:RecordingAction", "config": {}}}
        return {
            **shared,
            "handler": {"type": "python", "config": {"function": "our_handler:handle", "path": "."}},
            "dead_letter": {"type": "file", "config": {"ephemeral": "accept"}},
            "status": {"port": 0},  # several run at a time here
        }

    # -- the process

    def start(self) -> None:
        command = DATAHUB_ACTIONS if self.product == "DataHub Actions" else (*POLLER, "run")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tethered([*command, "-c", str(self._directory / "action.yaml")]),
                cwd=self._directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        home = {"HOME": str(self._directory)}  # DataHub's command looks for settings there
        if self.product == "datahub-poller":
            return environment(home)
        return {**poller_environment(os.environ), **home, "DATAHUB_TELEMETRY_ENABLED": "false"}

    def supervise(self, limit: int) -> str:
        """Start it again where it has ended, so many times; what there is to say of that."""
        if self._process is None or self.gave_up or (code := self._process.poll()) is None:
            return ""
        if self.restarts >= limit:
            self.gave_up = True
            return f"ended with {code} again, and is given up after {limit} restarts"
        self.restarts += 1
        self.start()
        return f"ended with {code}, restart {self.restarts}"

    def stop(self) -> None:
        """In order, so that each can commit what it has not yet; killed where it does not end."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # -- what came of it

    @property
    def log(self) -> Path:
        return self._directory / "process.log"

    def acted(self) -> list[Place]:
        """Each time that its action was done with a record."""
        journal = self._directory / acting.JOURNAL.name
        text = journal.read_text() if journal.exists() else ""
        return [Place(*json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]

    def lettered(self) -> list[Place]:
        """Both products' lines have the coordinates in the same place, but for records that never became events."""
        found = []
        for path in sorted((self._directory / "letters").glob("*/*.log")):
            for line in parsed(path.read_bytes()):
                kafka = line["meta"]["kafka"]
                found.append(Place(kafka["topic"], kafka["partition"], kafka["offset"]))
        return found

    def outcome(self, produced: list[Place]) -> Outcome:
        """To be asked when it runs no more: the commit is read first, so that nothing settles behind its back."""
        committed = self._bed.committed(self.group, self._topic)
        offsets = {place.tp: committed[place.partition].offset for place in produced if place.partition in committed}
        return counted(Seen(produced, self.acted(), self.lettered(), offsets), self.restarts, self.gave_up)
