"""The README's table of keys is the one that the models give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from datahub_poller.config.models import ActionFile
from datahub_poller.config.reference import block, markdown, rows
from support.action_files import action_of

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_table_of_keys() -> None:
    held = block(README.read_text(encoding="utf-8"))
    assert held is not None, "README.md has no <!-- keys:begin --> and <!-- keys:end -->"
    assert held == markdown(), "run: python -m datahub_poller.config.reference"


def test_the_table_is_printed_by_its_module() -> None:
    command = [sys.executable, "-m", "datahub_poller.config.reference"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == markdown()


def test_every_key_is_in_the_table_and_says_what_it_is_for() -> None:
    table = list(rows())
    for row in table:
        assert row.meaning.endswith("."), row.key
        assert row.values, row.key
    keys = {row.key.strip("`") for row in table}
    dumped = action_of().model_dump(by_alias=True)

    def leaves(data: object, path: str) -> set[str]:
        if data is None and path not in keys:  # a section that is not given
            return {key for key in keys if key.startswith(f"{path}.")}
        if path in keys or not isinstance(data, dict):
            return {path}
        return {leaf for key, value in data.items() for leaf in leaves(value, f"{path}.{key}".lstrip("."))}

    assert leaves(dumped, "") == keys


def test_the_table_has_one_line_for_a_key_and_four_cells() -> None:
    for line in markdown().splitlines():
        assert line.replace("\\|", "").count("|") == 5, line
    assert len(ActionFile.model_fields) == 15


def test_a_text_without_markers_has_no_block() -> None:
    assert block("nothing") is None
    assert block("<!-- keys:begin -->\nx") is None
    assert block("a\n<!-- keys:begin -->\n\nx\n\n<!-- keys:end -->\n") == "x\n"
