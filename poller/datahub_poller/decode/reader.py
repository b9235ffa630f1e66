"""Reads Avro bytes by the schema they were written with, into plain dicts.

By a reader generated for the schema; by fastavro's where the generator cannot. Knows neither registries nor what
DataHub puts into a record. Whatever the bytes are, they cost no more than their size allows for.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, Final

import fastavro

from datahub_poller.decode.codegen import NoRecord, Read, leading_reader_of, reader_of, union_reader_of
from datahub_poller.decode.directly import direct_reader_of
from datahub_poller.decode.lines import BeyondError
from datahub_poller.decode.shapes import RecordShape
from datahub_poller.decode.wire import Refused
from datahub_poller.decode.writer_schema import FetchedSchema, WriterSchema, writer_schema
from datahub_poller.errors import Poison

ITEMS_LIMIT: Final = 1_000_000
"""How many items all arrays and maps of a record may have together: each takes much more memory than bytes."""

ReadInOneGo = Callable[[bytes, int], dict[str, Any] | None]
"""Of a payload and where the record begins in it, the event; it has to end with the payload."""


class Reader:
    """Reads the records of one writer schema. Bytes it cannot read raise Poison, whatever they are."""

    __slots__ = ("_direct", "_leads", "_read", "fetched", "generated", "schema")

    def __init__(self, fetched: FetchedSchema) -> None:
        """Raises Poison "unusable_schema"."""
        self.fetched = fetched
        self.schema = writer_schema(fetched)
        self._leads: dict[frozenset[str], Read] = {}
        self._direct: dict[RecordShape, ReadInOneGo] = {}
        try:
            self._read = _reader(self.schema)
            self.generated = True
        except Exception as error:  # noqa: BLE001 - a fault of the generator's must not keep records waiting either
            if isinstance(self.schema.record, list):  # fastavro's does not tell which branch a value is of
                raise Poison("unusable_schema", f"the writer schema is a union, and {error}") from None
            if self.schema.recursive:  # fastavro's compiled reader would crash the process on hostile bytes
                raise Poison("unusable_schema", f"the writer schema contains itself, and {error}") from None
            self._read = _general(self.schema)
            self.generated = False

    def read(self, payload: bytes, start: int = 0) -> dict[str, Any]:
        """The whole record, which begins at `start`. Raises Poison: not_avro, left_over_bytes, not_a_record."""
        datum, end = _taken(self._read, payload, start)
        if left := len(payload) - end:
            raise Poison("left_over_bytes", f"{left} of {len(payload) - start} bytes are left over after the record")
        return datum

    @property
    def leads(self) -> bool:
        """Whether leading fields can be had without the rest."""
        return self.generated and not isinstance(self.schema.record, list)

    def lead(self, payload: bytes, wanted: frozenset[str], start: int = 0) -> dict[str, Any]:
        """The record's `wanted` fields; what comes after the last of them is not looked at. Raises Poison."""
        read = self._leads.get(wanted)
        if read is None:
            read = self._leads[wanted] = self._leading(wanted)
        return _taken(read, payload, start)[0]

    def in_one_go(self, shape: RecordShape) -> ReadInOneGo:
        """A function that reads what `shape` makes of the record at a position.

        It gives None where that cannot be: `read` and the shape then give the same more slowly, or say what is wrong.
        """
        if shape not in self._direct:
            self._direct[shape] = self._directly(shape)
        return self._direct[shape]

    def _directly(self, shape: RecordShape) -> ReadInOneGo:
        try:
            directly = direct_reader_of(self.schema.record, shape, self.schema.named)
        except BeyondError:
            return lambda _payload, _start: None

        def read(payload: bytes, start: int) -> dict[str, Any] | None:
            try:
                event, end, _ = directly(payload, start, ITEMS_LIMIT, 0)
            except Exception:  # noqa: BLE001 - hostile bytes raise nearly everything
                return None
            return event if end == len(payload) else None

        return read

    def _leading(self, wanted: frozenset[str]) -> Read:
        if isinstance(self.schema.record, list):
            return self._whole
        try:
            return leading_reader_of(self.schema.record, wanted, self.schema.named)
        except BeyondError:
            return self._read

    def _whole(self, payload: bytes, start: int, items: int, _: int) -> tuple[Any, int, int]:
        return self.read(payload, start), len(payload), items


def _reader(schema: WriterSchema) -> Read:
    if not isinstance(schema.record, list):
        return reader_of(schema.record, schema.named)
    read_branch = union_reader_of(schema.record, schema.named)

    def read(payload: bytes, start: int, items: int, depth: int) -> tuple[Any, int, int]:
        found = read_branch(payload, start, items, depth)
        if isinstance(found[0], NoRecord) and found[1] == len(payload):  # else the bytes do not fit at all
            raise Poison("not_a_record", f"the writer schema is a union, and the value's branch is {found[0].kind}")
        return found

    return read


def _taken(read: Read, payload: bytes, start: int) -> tuple[dict[str, Any], int]:
    try:
        datum, end, _ = read(payload, start, ITEMS_LIMIT, 0)
    except (IndexError, struct.error):
        raise _not_avro("they end too soon") from None
    except TypeError:  # `HALF` of an odd number
        raise _not_avro("a length is negative") from None
    except Refused as error:
        raise _not_avro(str(error)) from None
    except Poison:  # a union's
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes raise nearly everything
        raise _not_avro(f"{type(error).__name__}: {error}") from None
    if end > len(payload):
        raise _not_avro("they end too soon")
    return datum, end


def _not_avro(why: str) -> Poison:
    return Poison("not_avro", f"the bytes are not what their schema says: {why}")


def _general(schema: WriterSchema) -> Read:
    def read(payload: bytes, start: int, items: int, _: int) -> tuple[Any, int, int]:
        source = io.BytesIO(payload)
        source.seek(start)
        try:
            return fastavro.schemaless_reader(source, schema.record, None), source.tell(), items
        except Exception as error:  # noqa: BLE001 - hostile bytes raise nearly everything
            raise Refused(f"{type(error).__name__}: {error}") from None

    return read
