"""The top README's table of losses is of the versions that are installed, and says what the command says."""

from __future__ import annotations

from pathlib import Path

from compare_loss.cases import CASES
from compare_loss.products import versions
from compare_loss.report import BEGIN, END, NOTES, SETTINGS
from compare_loss.scene import Size

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_s_table_is_of_these_versions_and_cases() -> None:
    text = README.read_text()
    block = text[text.index(BEGIN) : text.index(END)]
    assert SETTINGS in block
    assert NOTES in block
    for name, version in versions().items():
        assert f"{name} {version}," in " ".join(block.split()), "run `make compare-loss` with --markdown again"
    for case in CASES:
        assert f"| {case.fault(Size())} | DataHub Actions |" in block
    assert block.count("|  | datahub-poller | ") == len(CASES)
