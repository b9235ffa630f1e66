"""What an event's fields look like: takes values over into plain JSON, or says what does not fit.

Pure. A shape is a function of a value that was read, and tells by `direct` what a reader may put in its place at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple


class Unfit(Exception):
    """A value that does not fit; `path` grows on the way out."""

    def __init__(self, kind: str, path: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.path = path
        self.why = why


@dataclass(frozen=True, slots=True)
class Leaf:
    """Takes a value over, or raises Unfit.

    `direct` names the Avro types whose every value fits, each with what makes it of the bytes or the value read:
    "" for nothing, else a method's call. A map's values are of `direct`'s type "map". `plain` is the Python type whose
    every value stays as it is.
    """

    take: Callable[[Any], Any]
    direct: Mapping[str, str] = field(default_factory=dict)
    plain: type | None = None

    def __call__(self, value: Any) -> Any:
        """Raises Unfit."""
        return self.take(value)


class Field(NamedTuple):
    """A field of an event. Where it is null or absent: an error, the default, or nothing."""

    name: str
    shape: Leaf | RecordShape
    required: bool = False
    default: Any = None


class RecordShape:
    """An object with these fields, in this order. Fields that it does not have are dropped, and nulls left out."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields

    def __call__(self, value: Any) -> dict[str, Any]:
        """Raises Unfit."""
        if not isinstance(value, dict):
            raise _wrong(value, "an object")
        taken = {}
        for name, shape, required, default in self.fields:
            found = value.get(name)
            if found is not None:
                try:
                    taken[name] = shape(found)
                except Unfit as unfit:
                    unfit.path = f".{name}{unfit.path}"
                    raise
            elif required:
                raise Unfit("missing_field", f".{name}", "is missing")
            elif default is not None:
                taken[name] = default
        return taken


def _wrong(value: Any, wanted: str) -> Unfit:
    return Unfit("wrong_type", "", f"is {type(value).__name__}, not {wanted}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(value, "text")


def _whole(value: Any) -> int:
    if isinstance(value, int):
        return value
    raise _wrong(value, "a whole number")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise _wrong(value, "bytes")


def _aspect_text(value: Any) -> str:
    """JSON in a string, as DataHub has it; whether it is JSON is the handler's business."""
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Unfit("aspect_not_utf8", "", f"is not UTF-8: {error.reason} at byte {error.start}") from None


def _hexadecimal(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else _text(value)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong(value, "a map")
    for key, each in value.items():
        if not isinstance(each, str):
            raise Unfit("wrong_type", f".{key}", f"is {type(each).__name__}, not text")
    return value


TEXT: Final = Leaf(_text, {"string": "", "enum": ""}, str)
WHOLE: Final = Leaf(_whole, {"int": "", "long": "", "boolean": ""}, int)
BYTES: Final = Leaf(_bytes, {"bytes": "", "fixed": ""})
ASPECT: Final = Leaf(_aspect_text, {"bytes": ".decode()"})
HEXADECIMAL: Final = Leaf(_hexadecimal, {"bytes": ".hex()", "fixed": ".hex()", "string": "", "enum": ""})
TEXTS: Final = Leaf(_texts, {"map": "string"})


def untagged(tag: str, shape: Leaf) -> Leaf:
    """DataHub also reads an optional value in Avro's own JSON, where the type's name stands around it."""

    def take(value: Any) -> Any:
        return shape(value[tag] if type(value) is dict and value.keys() == {tag} else value)

    return Leaf(take, {kind: how for kind, how in shape.direct.items() if kind != "map"}, shape.plain)
