"""DataHub Actions: its own pipeline with an action that counts. It commits in the background each 10 s, or each event.

The background commit would leave the window open for up to 10 s of doing nothing: with the last event the pipeline is
stopped and closed, which commits. What it does with other types than dicts (its own classes) is part of what it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datahub_actions.action.action import Action
from datahub_actions.pipeline.pipeline import Pipeline
from meter import Meter, settings

RUN = settings()
METER = Meter(RUN)


class Counting(Action):
    """Named in the configuration below."""

    @classmethod
    def create(cls, config_dict: dict[str, Any], ctx: Any) -> Counting:
        return cls()

    def act(self, event: Any) -> None:
        METER.begin()
        if METER.add(1):
            PIPELINE.stop()

    def close(self) -> None:
        """Nothing is held."""


def configuration() -> dict[str, Any]:
    connection = {
        "bootstrap": RUN.bootstrap,
        "schema_registry_url": RUN.registry,
        "consumer_config": {"auto.offset.reset": "earliest"},
    }
    return {
        "name": RUN.group,
        "source": {
            "type": "kafka",
            "config": {
                "connection": connection,
                "topic_routes": dict(zip(("mcl", "mcl_timeseries", "pe"), RUN.topics, strict=True)),
                "async_commit_enabled": RUN.commit == "async",
            },
        },
        "action": {"type": "counting_action:Counting", "config": {}},
        "options": {"failed_events_dir": str(Path.cwd() / "letters")},
    }


if __name__ == "__main__":
    sys.modules["counting_action"] = sys.modules["__main__"]
    PIPELINE = Pipeline.create(configuration())
    PIPELINE.run()
    PIPELINE.close()
    METER.stay()
