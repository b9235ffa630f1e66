"""The action file as typed values: every key, its default, its range and what it is for.

Each section checks itself alone; what holds between sections is in `rules`, and where a value comes from
(files, variables, DataHub's spellings) is not known here. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, PrivateAttr, model_validator

from datahub_poller.config.dead_letter import DeadLetter
from datahub_poller.config.quantities import Duration, OneOf, Rate, Size, Text, Whole
from datahub_poller.config.section import Bytes, MaybeSeconds, Seconds, Section, checked
from datahub_poller.config.source import Source
from datahub_poller.config.values import (
    directory_path,
    error_names,
    function_name,
    listening_address,
    status_port,
)
from datahub_poller.observe.listening import DEFAULT_PORT, LOOPBACK

DEFAULT_LETTERS = Path("/tmp/logs/datahub/actions")  # noqa: S108 - DataHub's own default; the rule for containers guards it


class Batch(Section):
    """What a call of the handler holds."""

    size: Annotated[int, checked(Whole(1, 10_000))] = Field(default=100, description="Events in a call, at most.")
    window: Annotated[Seconds, checked(Duration(0, 300))] = Field(
        default=0.0,
        description="How long a call waits for more events before it goes out with fewer. With `0s` an idle handler is "
        "called at once, and what comes while it works makes the next call.",
    )
    bytes: Annotated[Bytes, checked(Size(1024, 2**30))] = Field(
        default=5 * 2**20, description="Bytes of the records in a call, at most; a larger record goes alone."
    )
    concurrency: Annotated[int, checked(Whole(1, 64))] = Field(
        default=1, description="Calls at a time, at most; a partition never has more than one."
    )
    format: Annotated[Literal["datahub"], checked(OneOf(("datahub",), ("esm",)))] = Field(
        default="datahub", description="The form of the event that the handler gets."
    )
    rate: Annotated[float | None, checked(Rate())] = Field(
        default=None,
        description="Events handed out, at most, by each process; a call is held back until its events are due.",
    )
    order: Annotated[Literal["failed_only", "strict"], checked(OneOf(("failed_only", "strict")))] = Field(
        default="failed_only",
        description="What is tried again when a handler names failed records: those alone, or every record of the "
        "partition from the first of them on.",
    )


class HandlerConfig(Section):
    """The function to call."""

    function: Annotated[str, checked(function_name)] = Field(description="`module:function` or `module.function`.")
    path: Annotated[Path, checked(directory_path)] = Field(
        default=Path(),
        description="Where its module is looked for first. A relative path begins at the action file's directory.",
    )
    timeout: Annotated[Seconds, checked(Duration(0.001, 86_400))] = Field(
        default=60.0, description="How long a call may take before it is reported as stuck."
    )


class Handler(Section):
    """What is called with each batch."""

    type: Annotated[Literal["python"], checked(OneOf(("python",), ("process", "lambda", "http")))] = Field(
        default="python", description="Where the handler runs."
    )
    config: HandlerConfig


class Retry(Section):
    """What happens to a batch that failed."""

    attempts: Annotated[int, checked(Whole(1, 1000))] = Field(
        default=3, description="Tries in all. DataHub's `options.retry_count: n` means n + 1."
    )
    backoff: Annotated[Seconds, checked(Duration(0, 3600))] = Field(
        default=1.0, description="Pause before the second try; it doubles from try to try."
    )
    max_backoff: Annotated[Seconds, checked(Duration(0, 86_400))] = Field(
        default=60.0, description="The longest such pause."
    )
    bisect: bool = Field(
        default=True, description="Split a batch whose tries are used up, down to the records that fail."
    )
    max_age: Annotated[MaybeSeconds, checked(Duration(0.001, 30 * 86_400))] = Field(
        default=None,
        description="No more tries for what has been tried for so long, back-offs included, waiting for "
        "infrastructure not.",
    )
    fatal: Annotated[list[str], checked(error_names)] = Field(
        default_factory=list,
        description="Exceptions after which another try is not worth it: classes by their dotted names, those derived "
        "from them included.",
    )
    retryable: Annotated[list[str], checked(error_names)] = Field(
        default_factory=list,
        description="Exceptions that are tried again although a class that they are derived from is fatal.",
    )


class Shutdown(Section):
    """How the poller ends."""

    deadline: Annotated[Seconds, checked(Duration(0, 3600))] = Field(
        default=25.0, description="How long running calls may take to end after SIGTERM, or when partitions move away."
    )
    scale_in_protection: Annotated[Literal["ecs"] | None, checked(OneOf(("ecs",)))] = Field(
        default=None,
        description="`ecs`: while a batch takes longer than 2 s, and `handler.config.timeout` at most, ECS is asked to "
        "take other tasks away.",
    )


class Options(Section):
    """DataHub's own options."""

    retry_count: Annotated[int | None, checked(Whole(0, 999))] = Field(
        default=None, description="Tries after the first; `retry.attempts` says the same, plus one."
    )
    failure_mode: Annotated[Literal["CONTINUE", "THROW"], checked(OneOf(("CONTINUE", "THROW")))] = Field(
        default="CONTINUE", description="What to do with a record that is given up: dead letter and go on, or stop."
    )
    failed_events_dir: Annotated[Path, checked(directory_path)] = Field(
        default=DEFAULT_LETTERS,
        description="Directory below which the file sink writes, one directory for each name. A relative path "
        "begins at the working directory.",
    )


class Status(Section):
    """The HTTP port that a running poller answers on."""

    null_is_a_value: ClassVar[frozenset[str]] = frozenset({"port"})

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, data: Any) -> Any:
        return {"port": None} if data is False else data

    port: Annotated[int | None, checked(status_port)] = Field(
        default=DEFAULT_PORT,
        description="Port of `/livez`, `/healthz`, `/readyz`, `/status`, `/metrics`; 0 takes any free one, `off` none.",
    )
    host: Annotated[str, checked(listening_address)] = Field(
        default=LOOPBACK,
        description='Address it listens on, IPv4 or IPv6; `"::"` means all of both. Beyond loopback '
        "whoever reaches it reads it; orders need `status.token`.",
    )
    stuck_after: Annotated[Seconds, checked(Duration(1, 86_400))] = Field(
        default=300.0,
        description="A partition that has something to do and has not moved for so long is reported as stuck.",
    )
    hangs_after: Annotated[Seconds, checked(Duration(1, 3600))] = Field(
        default=30.0,
        description="When the loop has not turned for so long, `/livez` fails and the log shows what each thread does.",
    )
    token: Annotated[str | None, checked(Text("text"))] = Field(
        default=None, description="What commands to the running poller must show; without it loopback is enough."
    )


class Metrics(Section):
    """What is counted, and where it is shown. `/metrics` is always there where there is a status port."""

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, data: Any) -> Any:
        return {"emf": True} if data == "emf" else data

    emf: bool = Field(
        default=False,
        description="Write the figures to standard output as lines in CloudWatch's embedded metric format. "
        "`metrics: emf` says the same.",
    )
    interval: Annotated[Seconds, checked(Duration(1, 3600))] = Field(
        default=60.0, description="How often such a line is written."
    )
    partitions: Annotated[int, checked(Whole(0, 100_000))] = Field(
        default=1000, description="How many partitions have series of their own in `/metrics`; 0 leaves them out."
    )


class Logs(Section):
    """What is written to standard error."""

    format: Annotated[Literal["text", "json"], checked(OneOf(("text", "json")))] = Field(
        default="text", description="The form of a line."
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"], checked(OneOf(("debug", "info", "warning", "error")))
    ] = Field(default="info", description="The least that is written.")


class Notes(NamedTuple):
    """What loading found out beside the values."""

    warnings: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    revoke_wait: float | None = None
    working_directory: Path = Path()


class ActionFile(Section):
    """One action: its consumer group, its source, its handler, and what happens to failures."""

    name: Annotated[str, checked(Text("text"))] = Field(
        description="The action's name and its consumer group. Changing it makes a new group."
    )
    enabled: bool = Field(
        default=True, description="Off: `run` ends at once with 0, and nothing else in the file is checked."
    )
    source: Source
    filters: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Filters that an event must all pass, `type: event_type` each. `check` warns of "
        "fields, spellings and wildcards that let nothing through.",
    )
    filter: dict[str, Any] | None = Field(default=None, description="DataHub's older filter; applied after `filters`.")
    batch: Batch = Field(default_factory=Batch)
    handler: Handler
    retry: Retry = Field(default_factory=Retry)
    dead_letter: DeadLetter = Field(default_factory=DeadLetter)
    shutdown: Shutdown = Field(default_factory=Shutdown)
    options: Options = Field(default_factory=Options)
    status: Status = Field(default_factory=Status)
    metrics: Metrics = Field(default_factory=Metrics)
    logs: Logs = Field(default_factory=Logs)
    datahub: dict[str, Any] | None = Field(
        default=None, description="DataHub's connection to its own server: accepted, and not used."
    )

    _notes: Notes = PrivateAttr(default=Notes())

    def warn(self, more: Iterable[str]) -> None:
        """Add to what a person should know."""
        self._notes = self._notes._replace(warnings=(*self._notes.warnings, *more))

    def note(self, notes: Notes) -> None:
        """Keep what the loader found out."""
        self._notes = notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about this file although it is right, one line each."""
        return self._notes.warnings

    @property
    def found_secrets(self) -> frozenset[str]:
        """Secret texts that came out of environment variables."""
        return self._notes.secrets

    @property
    def group_id(self) -> str:
        """The consumer group: the name, or what `consumer_config` says instead."""
        return str(self.source.config.connection.consumer_config.get("group.id", self.name))

    @property
    def letters_directory(self) -> Path:
        """The directory below which the file sink writes."""
        own = self.dead_letter.config.directory
        return self.working_directory / (self.options.failed_events_dir if own is None else own)

    @property
    def working_directory(self) -> Path:
        """Where the process stood when it read the file: relative paths begin there, wherever a handler goes later."""
        return self._notes.working_directory

    @property
    def revoke_wait(self) -> float:
        """Seconds that running calls get when partitions move away: the deadline, or less where it must be less."""
        wait = self._notes.revoke_wait
        return self.shutdown.deadline if wait is None else wait
