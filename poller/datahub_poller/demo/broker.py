"""A Kafka broker inside this process: the mock cluster that librdkafka brings along, by its C interface.

Clients of any process connect to it over TCP. It keeps everything in memory, about 5 MiB per partition
(older batches go first), and has no admin requests: topics are made by `create_topic`.
It knows nothing of DataHub; the demo runs on it, and so do the tests, which make it misbehave on purpose.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final, Self

import confluent_kafka.cimpl

from datahub_poller.errors import CannotStart

# Request kinds (Kafka's API keys) and error codes, as far as tests have use for them.
API_PRODUCE: Final = 0
API_FETCH: Final = 1
API_LIST_OFFSETS: Final = 2
API_METADATA: Final = 3
API_OFFSET_COMMIT: Final = 8
API_OFFSET_FETCH: Final = 9
API_FIND_COORDINATOR: Final = 10
API_JOIN_GROUP: Final = 11
API_HEARTBEAT: Final = 12
API_LEAVE_GROUP: Final = 13
API_SYNC_GROUP: Final = 14

NO_ERROR: Final = 0
DROP_CONNECTION: Final = -195
OFFSET_OUT_OF_RANGE: Final = 1
UNKNOWN_TOPIC: Final = 3
NOT_LEADER: Final = 6
REQUEST_TIMED_OUT: Final = 7
MESSAGE_TOO_LARGE: Final = 10
COORDINATOR_LOADING: Final = 14
COORDINATOR_NOT_AVAILABLE: Final = 15
NOT_COORDINATOR: Final = 16
ILLEGAL_GENERATION: Final = 22
UNKNOWN_MEMBER: Final = 25
REBALANCE_IN_PROGRESS: Final = 27
TOPIC_AUTHORIZATION_FAILED: Final = 29
GROUP_AUTHORIZATION_FAILED: Final = 30

_PRODUCER = 0
_ERROR_TEXT_BYTES = 512

_POINTER, _TEXT, _INT, _INT16, _INT32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int16, ctypes.c_int32
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "rd_kafka_conf_new": (_POINTER, ()),
    "rd_kafka_conf_set": (_INT, (_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t)),
    "rd_kafka_conf_destroy": (None, (_POINTER,)),
    "rd_kafka_new": (_POINTER, (_INT, _POINTER, _TEXT, ctypes.c_size_t)),
    "rd_kafka_destroy": (None, (_POINTER,)),
    "rd_kafka_err2name": (_TEXT, (_INT,)),
    "rd_kafka_mock_cluster_new": (_POINTER, (_POINTER, _INT)),
    "rd_kafka_mock_cluster_destroy": (None, (_POINTER,)),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, (_POINTER,)),
    "rd_kafka_mock_topic_create": (_INT, (_POINTER, _TEXT, _INT, _INT)),
    "rd_kafka_mock_topic_set_error": (None, (_POINTER, _TEXT, _INT)),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        (_POINTER, _INT16, ctypes.c_size_t, ctypes.POINTER(_INT)),
    ),
    "rd_kafka_mock_clear_request_errors": (None, (_POINTER, _INT16)),
    "rd_kafka_mock_broker_set_rtt": (_INT, (_POINTER, _INT32, _INT)),
    "rd_kafka_mock_broker_set_down": (_INT, (_POINTER, _INT32)),
    "rd_kafka_mock_broker_set_up": (_INT, (_POINTER, _INT32)),
    "rd_kafka_mock_partition_set_leader": (_INT, (_POINTER, _TEXT, _INT32, _INT32)),
    "rd_kafka_mock_coordinator_set": (_INT, (_POINTER, _TEXT, _TEXT, _INT32)),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (_POINTER, _INT32)),
    "rd_kafka_mock_partition_delete_records": (_INT, (_POINTER, _TEXT, _INT32, ctypes.c_int64)),
}


class MockCluster:
    """Brokers 1 to `brokers`, up from construction to `close`; `bootstrap` is their "host:port,..." list.

    Raises CannotStart where librdkafka cannot be reached. Every other call raises RuntimeError with
    librdkafka's name of the error, or when the cluster is closed.
    """

    bootstrap: str

    def __init__(self, brokers: int = 1) -> None:
        self._library = _load()
        self._client: int | None = _new_client(self._library)
        self._cluster: int | None = self._library.rd_kafka_mock_cluster_new(self._client, brokers)
        if self._cluster is None:
            self.close()
            raise CannotStart(f"the embedded broker did not start with {brokers} brokers")
        self.bootstrap = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all brokers and cut their connections. May be called again."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            self._library.rd_kafka_mock_cluster_destroy(cluster)
        client, self._client = self._client, None
        if client is not None:
            self._library.rd_kafka_destroy(client)

    def create_topic(self, name: str, partitions: int = 4, replication: int = 1) -> None:
        """Make a topic. One that is produced to without this gets four partitions."""
        self._checked("rd_kafka_mock_topic_create", name.encode(), partitions, replication)

    def topic_error(self, name: str, error: int) -> None:
        """Answer metadata, produce and fetch requests for the topic with this error; NO_ERROR ends it."""
        self._call("rd_kafka_mock_topic_set_error", name.encode(), error)

    def push_errors(self, api: int, errors: Sequence[int]) -> None:
        """Answer the next requests of this kind with these errors, one each, on any broker."""
        self._call("rd_kafka_mock_push_request_errors_array", api, len(errors), (ctypes.c_int * len(errors))(*errors))

    def clear_errors(self, api: int) -> None:
        """Forget the pushed errors of this kind of request that were not used yet."""
        self._call("rd_kafka_mock_clear_request_errors", api)

    def set_rtt(self, broker: int, milliseconds: int) -> None:
        """Delay every answer of this broker."""
        self._checked("rd_kafka_mock_broker_set_rtt", broker, milliseconds)

    def down(self, broker: int) -> None:
        """Close this broker's port and connections until `up`."""
        self._checked("rd_kafka_mock_broker_set_down", broker)

    def up(self, broker: int) -> None:
        """Open this broker's port again."""
        self._checked("rd_kafka_mock_broker_set_up", broker)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Move a partition to this broker; -1 leaves it without a leader."""
        self._checked("rd_kafka_mock_partition_set_leader", topic.encode(), partition, broker)

    def set_coordinator(self, group: str, broker: int) -> None:
        """Move a consumer group's coordinator to this broker."""
        self._checked("rd_kafka_mock_coordinator_set", b"group", group.encode(), broker)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Take the records below this offset away, as retention does."""
        self._checked("rd_kafka_mock_partition_delete_records", topic.encode(), partition, before)

    def rebalance_delay(self, milliseconds: int) -> None:
        """How long an empty group waits for members before its first assignment; 3000 unless told."""
        self._call("rd_kafka_mock_group_initial_rebalance_delay_ms", milliseconds)

    def _call(self, function: str, *arguments: Any) -> Any:
        if self._cluster is None:
            raise RuntimeError("the embedded broker is closed")
        return getattr(self._library, function)(self._cluster, *arguments)

    def _checked(self, function: str, *arguments: Any) -> None:
        code = self._call(function, *arguments)
        if code != NO_ERROR:
            name = self._library.rd_kafka_err2name(code).decode()
            raise RuntimeError(f"{function}{arguments} was answered with {name}")


def _load() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka uses, never a second one beside it.

    Symbols are looked up through the extension module's own dependencies, so that wheels (`.libs` on Linux,
    `.dylibs` on macOS) and builds against a system's library are found alike.
    """
    path = confluent_kafka.cimpl.__file__
    try:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise CannotStart(
            f"the embedded broker needs a librdkafka with its mock cluster, which confluent-kafka's wheels"
            f" for Linux and macOS bring along; the one behind {path} cannot be used: {error}"
        ) from error
    return library


def _new_client(library: ctypes.CDLL) -> int:
    """The client object that owns the cluster. It is quiet: librdkafka would log to standard error."""
    text = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"3", text, _ERROR_TEXT_BYTES)
    client: int | None = library.rd_kafka_new(_PRODUCER, configuration, text, _ERROR_TEXT_BYTES)
    if client is None:
        library.rd_kafka_conf_destroy(configuration)
        raise CannotStart(f"the embedded broker did not start: {text.value.decode(errors='replace')}")
    return client
