"""What the loop needs of decoding and filtering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datahub_poller.model import Record, SchemaChange, Verdict
from datahub_poller.workers import Done


class Intake(Protocol):
    """Decoding and filtering, with the schemas that it waits for."""

    def read(self, record: Record, now: float) -> Verdict:
        """Never blocks."""

    def arrived(self, done: Done, now: float) -> None:
        """A fetch returned."""

    def tick(self, now: float) -> None:
        """Start the fetches that are due."""

    def fetching(self) -> bool:
        """Whether a schema that is not here is on its way: everybody waits a moment for it."""

    def asking(self) -> bool:
        """Whether any answer of a registry is soon to be expected."""

    def changes(self) -> Sequence[SchemaChange]:
        """Ids that name another schema, since they were last taken from here."""
