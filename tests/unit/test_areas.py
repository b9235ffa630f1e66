"""Every test file has an area, and every pattern of an area a file."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from support.areas import AREAS, area_of

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(TESTS.glob("*/test_*.py"))


def test_every_test_file_has_an_area():
    assert [path for path in FILES if area_of(path) is None] == []


def test_every_pattern_fits_a_file_that_is_there():
    names = [f"{path.parent.name}/{path.stem.removeprefix('test_')}" for path in FILES]
    patterns = [pattern for patterns in AREAS.values() for pattern in patterns.split()]
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)] == []


def test_what_fits_nowhere_has_no_area():
    assert area_of(Path("unit/test_of_tomorrow.py")) is None
