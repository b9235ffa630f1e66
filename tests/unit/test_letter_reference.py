"""The page on dead letters holds the table of what a letter holds, made of its schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from datahub_poller.deadletter.reference import block, markdown, rows

PAGE = Path(__file__).parents[2] / "poller" / "dead-letters.md"


def test_the_page_holds_the_table() -> None:
    held = block(PAGE.read_text(encoding="utf-8"))
    assert held is not None, "poller/dead-letters.md has no <!-- letter:begin --> and <!-- letter:end -->"
    assert held == markdown(), "run: python -m datahub_poller.deadletter.reference"


def test_the_table_is_printed_by_its_module() -> None:
    command = [sys.executable, "-m", "datahub_poller.deadletter.reference"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == markdown()


def test_every_field_is_in_the_table_and_says_what_it_is() -> None:
    table = list(rows())
    assert {"event", "meta.id", "meta.failure.stage", "meta.history[].at", "meta.schema.id", "meta.raw.value"} <= {
        row.path for row in table
    }
    for row in table:
        assert row.meaning.endswith("."), row.path
        assert row.values, row.path
