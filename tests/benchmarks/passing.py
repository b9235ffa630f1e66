"""How many of the events the filter of a run lets through, by reading every event with fastavro.

Owns what the filter means; the poller that applies it is compared with this.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro

from benchmarks.corpus import SCHEMA_OF_TOPIC, Corpus
from benchmarks.runs import PASSING


def passes(change_log: Mapping[str, Any]) -> bool:
    """Whether one of PASSING's conditions holds."""
    return any(
        all(change_log[name] in (wanted if isinstance(wanted, list) else [wanted]) for name, wanted in each.items())
        for each in PASSING
    )


def passing(corpus: Corpus, count: int, topics: tuple[str, ...]) -> int:
    """Of so many events, those of these topics that pass."""
    schemas = {name: fastavro.parse_schema(json.loads(text)) for name, text in corpus.schemas.items()}
    verdicts = [
        entry.topic in topics
        and passes(fastavro.schemaless_reader(io.BytesIO(entry.body), schemas[SCHEMA_OF_TOPIC[entry.topic]]))  # type: ignore[arg-type]
        for entry in corpus.entries[:count]
    ]
    return sum(verdicts[number % len(verdicts)] for number in range(count))
