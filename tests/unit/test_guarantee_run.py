"""What a guarantee run makes of its rounds: the same round for the same seed, its row, and when it shows nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guarantees.play import Outcome
from guarantees.run import RESULTS, Total
from guarantees.schedule import round_of

OUTCOME = Outcome(1500, 3, 7, {"latency": 2}, {"AtLeastOnce": 1500, "CommitNeverAhead": 40}, 5, 9)


def test_a_row_has_a_cell_for_each_column_of_the_page_and_adds_up_the_rounds():
    row = Total(7, 12.4, [OUTCOME, OUTCOME._replace(faults={"latency": 1, "a broker killed": 1})]).row()
    header = next(line for line in Path(RESULTS).read_text().splitlines() if line.startswith("| seed |"))
    assert row.count("|") == header.count("|")
    facts = "a broker killed 1; latency 3 | AtLeastOnce 3,000; CommitNeverAhead 80"
    assert row == f"| 7 | 12 | 3,000 | 6 | 14 | {facts} | 10 of 18 |\n"


@pytest.mark.parametrize(("crashes", "rebalances", "nothing"), [(0, 9, True), (9, 0, True), (1, 1, False)])
def test_a_run_without_a_crash_or_a_rebalance_shows_nothing(crashes, rebalances, nothing):
    total = Total(7, 1.0, [OUTCOME._replace(crashes=crashes, rebalances=rebalances)])
    assert total.shows_nothing is nothing


def test_a_seed_gives_the_same_rounds_always_and_another_one_gives_others():
    with ThreadPoolExecutor(1) as hands:
        rounds = [[round_of(seed, number, 60.0, hands) for number in range(1, 30)] for seed in (7, 7, 8)]
    plain = [[(each.name, each.seed, each.setting) for each in these] for these in rounds]
    assert plain[0] == plain[1]
    assert plain[0] != plain[2]
    assert {setting.protocol for _, _, setting in plain[0]} == {"range", "cooperative", "kip-848"}
    assert any(setting.static for _, _, setting in plain[0])
    assert any(setting.secure for _, _, setting in plain[0])
