"""The action file as typed values: every key, its default, its range and what it is for.

Each section checks itself alone; what holds between sections is in `rules`, and where a value comes from
(files, variables, DataHub's spellings) is not known here. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from datahub_poller.config.section import Section, SizeText, SpanText, checked
from datahub_poller.config.quantities import Duration, OneOf, Size, Text, Whole, start_position
from datahub_poller.config.source import SourceConfig

DEFAULT_PORT = 8470


class Source(Section):
    """Where the events come from."""

    type: Annotated[str, checked(OneOf(("kafka",), later=("pg_queue", "datahub-cloud")))] = Field(
        description="Where the events come from."
    )
    config: SourceConfig = Field(default_factory=SourceConfig)


class Batch(Section):
    """What a call of the handler holds."""

    size: Annotated[int, checked(Whole(1, 10_000))] = Field(100, description="Events in a call, at most.")
    window: Annotated[SpanText, checked(Duration(0, 300))] = Field(
        0.5, description="How long a call waits for more events before it goes out with fewer."
    )
    bytes: Annotated[SizeText, checked(Size(1024, 2**30))] = Field(
        5 * 2**20, description="Bytes of the records in a call, at most; a single larger record goes alone."
    )
    concurrency: Annotated[int, checked(Whole(1, 64))] = Field(
        1, description="Calls at a time, at most. A partition has at most one, whatever is set here."
    )
    format: Annotated[str, checked(OneOf(("datahub",), later=("esm",)))] = Field(
        "datahub", description="The form of the event that the handler gets."
    )
    order: Annotated[Literal["failed_only", "strict"], checked(OneOf(("failed_only", "strict")))] = Field(
        "failed_only",
        description="What is tried again after the handler named failed records: those alone, or every record "
        "from the first of them on.",
    )


class HandlerConfig(Section):
    """The function to call."""

    function: Annotated[str, checked(function_name)] = Field(description="`module:function`, or `module.function`.")
    path: Annotated[Path, checked(directory_path)] = Field(
        Path(),
        description="Where the module is looked for first; a relative path starts at the action file's directory.",
    )
    timeout: Annotated[SpanText, checked(Duration(0.001, 86_400))] = Field(
        60.0, description="How long a call may take before the lane is reported as stuck."
    )
