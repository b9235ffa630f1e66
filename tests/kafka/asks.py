"""What a broker's authorizer was asked, from its log, as the rights that Amazon MSK's IAM has for the same.

`kafka.authorizer.logger` says each decision at DEBUG: a cluster with MSK's listener logs them for the tests' user. MSK
itself cannot be asked here; that its actions are these operations of Kafka's is AWS's own table:
https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from kafka.cluster import KafkaCluster
from kafka.security import USER
from support import recorded_calls
from support.policies import Call

CLUSTER: Final = "arn:aws:kafka:us-east-1:123456789012:cluster/events/0a1b2c3d-4e5f-6789-abcd-ef0123456789-1"
"""The cluster of MSK that the tests' one stands for."""
CONNECT: Final = "kafka-cluster:Connect"
_ACTIONS: Final = {
    ("Cluster", "ALTER"): "AlterCluster",
    ("Cluster", "CREATE"): "CreateTopic",
    ("Cluster", "DESCRIBE"): "DescribeCluster",
    ("Cluster", "IDEMPOTENT_WRITE"): "WriteDataIdempotently",
    ("Group", "DELETE"): "DeleteGroup",
    ("Group", "DESCRIBE"): "DescribeGroup",
    ("Group", "READ"): "AlterGroup",
    ("Topic", "ALTER"): "AlterTopic",
    ("Topic", "ALTER_CONFIGS"): "AlterTopicDynamicConfiguration",
    ("Topic", "CREATE"): "CreateTopic",
    ("Topic", "DELETE"): "DeleteTopic",
    ("Topic", "DESCRIBE"): "DescribeTopic",
    ("Topic", "DESCRIBE_CONFIGS"): "DescribeTopicDynamicConfiguration",
    ("Topic", "READ"): "ReadData",
    ("Topic", "WRITE"): "WriteData",
}
_NEEDS: Final = {
    "AlterGroup": ("DescribeGroup",),
    "ReadData": ("DescribeTopic",),
    "WriteData": ("DescribeTopic",),
}
"""What the table wants beside an action, on the same resource. Connect is wanted beside all."""
_DECISION: Final = re.compile(
    rf" Principal = User:{USER} is (?:Allowed|Denied) operation = (\w+) from host = \S+"
    r" on resource = (\w+):LITERAL:(.+?) for request = (\w+) "
)


class Asks:
    """Up inside a `with`: what is asked meanwhile goes into the recording, by the poller until `by` says otherwise."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._who = recorded_calls.POLLER
        self._from = 0

    def by(self, who: str) -> None:
        """From here on it is this one that asks."""
        self._note()
        self._who = who

    def __enter__(self) -> Self:
        self._from = len(self._cluster.log(1))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._note()

    def _note(self) -> None:
        said = self._cluster.log(1)[self._from :]
        said = said[: said.rfind("\n") + 1]  # a line that is half written is read whole the next time
        self._from += len(said)
        recorded_calls.note(self._who, *calls_in(said))


def calls_in(log: str) -> set[Call]:
    """The rights that were asked for, granted or not, by which of Kafka's requests.

    Raises KeyError for what AWS's table does not know.
    """
    found = set()
    for operation, kind, name, request in _DECISION.findall(log):
        found |= set(_calls(_ACTIONS[kind, operation], kind, name, request))
    return found | ({Call(CONNECT, CLUSTER)} if found else set())


def arn(kind: str, name: str) -> str:
    """Of a `topic` or a `group` of the cluster."""
    begin, _, cluster = CLUSTER.partition(":cluster/")
    return f"{begin}:{kind}/{cluster}/{name}"


def name_in(resource: str) -> str:
    """The topic or the group that an ARN names."""
    return resource.rpartition("/")[2]


def _calls(action: str, kind: str, name: str, request: str) -> Iterator[Call]:
    resource = CLUSTER if kind == "Cluster" else arn(kind.lower(), name)
    for each in (action, *_NEEDS.get(action, ())):
        yield Call(f"kafka-cluster:{each}", resource, operation=request)
