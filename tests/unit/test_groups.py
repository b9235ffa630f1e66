"""Tests of one broker, or of one image, are run by one process: each other process would start another."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.xdist_group("kept-together")


@pytest.mark.parametrize("number", range(4))
def test_a_groups_tests_are_named_by_it_where_there_are_several_processes(number, request):
    """By these names pytest-xdist's scheduler knows them."""
    grouped = "PYTEST_XDIST_WORKER" in os.environ and request.config.getoption("loadgroup")
    assert request.node.nodeid.endswith("@kept-together") is bool(grouped)
