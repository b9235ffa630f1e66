"""How everybody but the poller and DataHub reads a value: the schema once by its id, then one call of fastavro."""

from __future__ import annotations

import io
import json
import urllib.request
from typing import Any

import fastavro


class Decoder:
    """Confluent's framing, with the registry at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._schemas: dict[bytes, Any] = {}

    def __call__(self, value: bytes) -> Any:
        """The record as plain Python objects."""
        schema = self._schemas.get(value[:5]) or self._fetched(value[:5])
        body = io.BytesIO(value)
        body.seek(5)
        return fastavro.schemaless_reader(body, schema)

    def _fetched(self, head: bytes) -> Any:
        if head[0] != 0:
            raise ValueError(f"not Confluent's framing: {head.hex()}")
        with urllib.request.urlopen(f"{self._url}/schemas/ids/{int.from_bytes(head[1:], 'big')}") as answer:
            text = json.load(answer)["schema"]
        self._schemas[head] = fastavro.parse_schema(json.loads(text))
        return self._schemas[head]
