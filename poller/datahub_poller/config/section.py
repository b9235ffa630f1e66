"""What every section of the action file has in common: it is frozen, refuses unknown keys and shows no secrets.

The only place that knows how pydantic is told of our own checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, model_validator

from datahub_poller.config.quantities import duration_text, size_text

Seconds = Annotated[float, PlainSerializer(duration_text)]
"""Seconds; written as `500ms` or `2m` where settings are shown."""

MaybeSeconds = Annotated[float | None, PlainSerializer(duration_text, when_used="unless-none")]
"""The same, or nothing. `Seconds | None` would be written twice, the second time from its own text."""

Bytes = Annotated[int, PlainSerializer(size_text)]
"""Bytes; written as `5MiB` where settings are shown."""


def checked(check: Callable[[Any], Any]) -> PlainValidator:
    """The check alone decides what a value is; it raises `Wrong`. Its text says what it takes."""
    return PlainValidator(check)


class Section(BaseModel):
    """A map of the action file. A null for a key is the same as leaving the key out."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    null_is_a_value: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None or key in cls.null_is_a_value}

    def __repr_args__(self) -> tuple[()]:
        """Nothing: any text may have come from a variable that holds a secret. `effective` shows the values."""
        return ()
