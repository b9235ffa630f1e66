"""How each driver is started: its command, its environment, and for the poller its action file.

Everything is as its users have it but for what a measured run needs: the group, the topics, the beginning, a batch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.runs import PASSING, Run
from benchmarks.stand import Loaded, Stand
from datahub_poller.demo.process import poller_environment
from support.commands import SOURCES

DRIVERS = Path(__file__).with_name("drivers")
ROUTES = dict(zip(("mcl", "mcl_timeseries", "pe"), Run._field_defaults["topics"], strict=True))


class Command(NamedTuple):
    """A process to be started in `directory`."""

    words: list[str]
    environ: dict[str, str]
    directory: Path


def command_of(
    run: Run, stand: Stand, loaded: Loaded, group: str, port: int, directory: Path, pythons: Mapping[str, Path]
) -> Command:
    """The process of this run. `pythons` has the interpreter of each driver with an environment of its own."""
    settings = {
        "referee": port,
        "broker": stand.broker,
        "events": loaded.handled,
        "bootstrap": stand.bootstrap,
        "registry": stand.registry,
        "topics": list(loaded.names.values()),
        "group": group,
        "batch": run.batch,
        "work": run.work,
        "commit": run.commit,
        "session_ms": stand.session_ms,
        "arrivals": run.timed,
    }
    environ = {
        **poller_environment(os.environ),
        "PYTHONPATH": SOURCES,
        "HOME": str(directory),  # where some look for settings of the user's
        "BENCHMARK_RUN": json.dumps(settings),
        "DATAHUB_TELEMETRY_ENABLED": "false",
    }
    if run.driver == "poller":
        file = directory / "action.json"
        file.write_text(json.dumps(action_file(run, stand, loaded, group, directory), indent=1))
        several = ["--processes", str(run.processes)] if run.processes > 1 else []
        words = [sys.executable, "-m", "datahub_poller", "run", "-c", str(file), *several]
        return Command(words, environ, directory)
    python = pythons.get(run.driver, Path(sys.executable))
    if run.driver in pythons:
        del environ["PYTHONPATH"]
    script = DRIVERS / (f"{run.driver}.py" if run.driver == "bare" else f"peer_{run.driver}.py")
    return Command([str(python), "-W", "ignore", str(script)], environ, directory)


def action_file(run: Run, stand: Stand, loaded: Loaded, group: str, directory: Path) -> dict[str, Any]:
    """The poller's."""
    glue = {"schema_registry": {"type": "glue", "region": "eu-west-1", "endpoint": stand.registry}}
    only = {"MetadataChangeLogEvent_v1": {"event": list(PASSING)}}
    batch = {"size": run.batch, "window": run.window}
    own = {} if stand.session_ms is None else {"consumer_config": {"session.timeout.ms": stand.session_ms}}
    return {
        "name": group,
        "source": {
            "type": "kafka",
            "config": {
                "connection": {"bootstrap": stand.bootstrap, "schema_registry_url": stand.registry, **own},
                "topic_routes": {
                    route: loaded.names[topic] for route, topic in ROUTES.items() if topic in loaded.names
                },
                "start": "earliest",
                **(glue if run.framing != "confluent" else {}),
            },
        },
        **({"filters": [{"type": "event_type", "config": {"filter": only}}]} if run.filtered else {}),
        "batch": {key: value for key, value in batch.items() if value is not None},
        "handler": {"type": "python", "config": {"function": "poller_handler:handle", "path": str(DRIVERS)}},
        "dead_letter": {"type": "file", "config": {"directory": str(directory / "letters"), "ephemeral": "accept"}},
        "status": {"port": 0},
        "logs": {"format": "json"},
    }
