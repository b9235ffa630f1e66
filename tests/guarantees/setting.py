"""How a run is set up, and the action file that says it to the pollers: one for all of a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from guarantees.traffic import Mix

Protocol = Literal["range", "cooperative", "kip-848"]
_CLASSIC: Final = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
PROTOCOLS: Final[Mapping[Protocol, Mapping[str, Any]]] = {
    "range": {**_CLASSIC, "partition.assignment.strategy": "range,roundrobin"},
    "cooperative": {**_CLASSIC, "partition.assignment.strategy": "cooperative-sticky"},
    "kip-848": {"group.protocol": "consumer"},
}


@dataclass(frozen=True, slots=True)
class Setting:
    """`size` and `concurrency` are those of batches, `rate` is events a second, `deadline` seconds to stop in."""

    protocol: Protocol = "range"
    static: bool = False
    secure: bool = False
    """By OAUTHBEARER with tokens of some seconds, past the proxy, with access that can be taken away."""
    partitions: int = 12
    members: int = 3
    size: int = 50
    concurrency: int = 2
    total: int | None = 5000
    rate: float = 1500.0
    mix: Mix = field(default_factory=Mix)
    deadline: float = 5.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the action file, by paths."""
    topic: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the topics."""

    @property
    def strict(self) -> bool:
        return self.changes.get("batch/order") == "strict"


def action_file(
    setting: Setting,
    name: str,
    *,
    bootstrap: str,
    registry: str,
    topics: Mapping[str, str],
    letters: str,
    way_in: Mapping[str, str],
) -> dict[str, Any]:
    """What differs between the processes comes from their environment."""
    consumer = {
        **PROTOCOLS[setting.protocol],
        "client.id": "${POLLER_ID}",
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 1000,
        "socket.timeout.ms": 5000,
        "reconnect.backoff.max.ms": 1000,
        **way_in,
        **({"group.instance.id": "${POLLER_SLOT}"} if setting.static else {}),
    }
    connection = {
        "bootstrap": bootstrap,
        "schema_registry_url": registry,
        "consumer_config": consumer,
        "client_timeout_seconds": 30,
    }
    source = {
        "connection": connection,
        "schema_registry": {"timeout": "1s"},
        "topic_routes": dict(topics),
        "start": "earliest",
    }
    document: dict[str, Any] = {
        "name": name,
        "source": {"type": "kafka", "config": source},
        "batch": {"size": setting.size, "window": "50ms", "concurrency": setting.concurrency},
        "handler": {"type": "python", "config": {"function": "recording:handle", "path": ".", "timeout": "20s"}},
        "retry": {"attempts": 2, "backoff": "50ms", "max_backoff": "200ms"},
        "dead_letter": {
            "type": "file",
            "config": {"ephemeral": "accept"},
            "breaker": {"in_a_row": 50, "pause": "1s"},
        },
        "shutdown": {"deadline": f"{setting.deadline}s"},
        "options": {"failure_mode": "CONTINUE", "failed_events_dir": letters},
        "status": {"port": 0},
        "logs": {"format": "json"},
    }
    for path, value in setting.changes.items():
        *above, last = path.split("/")
        section = document
        for key in above:
            section = section.setdefault(key, {})
        section[last] = value
    return document


def theirs(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same as an action file of DataHub Actions, with an action that writes down the same."""
    config = document["source"]["config"]
    connection = config["connection"]
    consumer = {**connection["consumer_config"], "auto.offset.reset": "earliest"}
    source = {"connection": {**connection, "consumer_config": consumer}, "topic_routes": config["topic_routes"]}
    return {
        "name": document["name"],
        "source": {"type": "kafka", "config": source},
        "action": {"type": "their_action:RecordingAction", "config": {}},
        "options": document["options"],
    }
