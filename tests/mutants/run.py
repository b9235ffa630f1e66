"""Break the core in known ways, one at a time, and see that a test notices.

Each patch in this directory is applied to a copy of the sources, never to the tree, and the fast tests of the core
run against the copy. A patch that survives, or no longer applies, fails the run. `--only NAME` runs those whose name
contains NAME.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AT_A_TIME = 2
LIMIT = 300.0
"""Seconds for one mutant. A mutant that hangs the tests is one that they notice."""
TESTS = (
    "tests/unit/test_lanes.py",
    "tests/unit/test_policy.py",
    "tests/unit/test_breaker.py",
    "tests/unit/test_start.py",
    "tests/unit/test_commits.py",
    "tests/unit/test_fatal_errors.py",
    "tests/properties/test_beginnings.py",
    "tests/unit/test_topic_ids.py",
    "tests/unit/test_report.py",
    "tests/unit/test_metrics.py",
    "tests/unit/test_emf.py",
    "tests/unit/test_status.py",
    "tests/unit/test_readiness.py",
    "tests/unit/test_waits.py",
    "tests/unit/test_waiting.py",
    "tests/unit/test_reader.py",
    "tests/unit/test_intake.py",
    "tests/unit/test_kafka_records.py",
    "tests/unit/test_config_java_words.py",
    "tests/unit/test_config_jaas.py",
    "tests/unit/test_doubts.py",
    "tests/unit/test_appetite.py",
    "tests/unit/test_orders.py",
    "tests/simulation/test_waits.py",
    "tests/unit/test_gaps.py",
    "tests/unit/test_listening.py",
    "tests/unit/test_filter_doubts.py",
    "tests/unit/test_standard_output.py",
    "tests/simulation/test_review_buffer.py",
    "tests/simulation/test_review_status.py",
    "tests/simulation/test_figures.py",
    "tests/simulation/test_explained.py",
    "tests/simulation/test_named.py",
    "tests/simulation/test_topic_made_anew.py",
    "tests/simulation/test_retry_rules.py",
    "tests/simulation/test_orders.py",
    "tests/simulation/test_doubts.py",
    "tests/properties/test_taking.py",
    "tests/properties/test_directly.py",
    "tests/properties/test_batching.py",
    "tests/properties/test_policy.py",
    "tests/properties/test_doubts.py",
    "tests/properties/test_delivery_machine.py",
    "tests/simulation/test_interleavings.py",
    "tests/unit/test_signals.py",
    "tests/unit/test_own_log.py",
)
FAILED = re.compile(r"^(?:FAILED|ERROR) tests/\w+/(.+?)(?: - .*)?$", re.MULTILINE)

Fate = Literal["killed", "SURVIVED", "DOES NOT APPLY", "NOT RUN"]


class Verdict(NamedTuple):
    """What became of a mutant, by which test, in how many seconds."""

    name: str
    fate: Fate
    by: str
    seconds: float


def main() -> int:
    """The exit code: 0 if every mutant was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="run the mutants whose name contains NAME")
    wanted = parser.parse_args().only
    patches = [patch for patch in sorted(HERE.glob("*.patch")) if wanted in patch.stem]
    if not patches:
        sys.exit(f"no mutant's name contains {wanted!r}")
    began = time.monotonic()
    if (broken := _judge(None)).fate != "SURVIVED":
        sys.exit(f"the tests fail without any mutant: {broken.by}")
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        verdicts = []
        for verdict in pool.map(_judge, patches):
            print(f"{verdict.fate:15} {verdict.seconds:5.1f} s  {verdict.name:45} {verdict.by}", flush=True)
            verdicts.append(verdict)
    alive = [verdict for verdict in verdicts if verdict.fate != "killed"]
    print(f"{len(verdicts) - len(alive)} of {len(verdicts)} killed in {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


def _judge(patch: Path | None) -> Verdict:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        fate, by = _fate(Path(directory), patch)
    return Verdict("no mutant" if patch is None else patch.stem, fate, by, time.monotonic() - began)


def _fate(copy: Path, patch: Path | None) -> tuple[Fate, str]:
    for part in ("poller", "handler", "tests"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "mutants"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    if patch is not None:
        # Strictly: a hunk that fits only roughly may have become another mutant.
        applied = subprocess.run(
            ["git", "apply", "--unidiff-zero", str(patch)], cwd=copy, capture_output=True, text=True, check=False
        )
        if applied.returncode != 0:
            return "DOES NOT APPLY", applied.stderr.strip().splitlines()[0]
    try:
        ran = _run(copy)
    except subprocess.TimeoutExpired:
        return "killed", f"the tests did not end within {LIMIT:.0f} s"
    match ran.returncode:
        case 0:
            return "SURVIVED", ""
        case 1:
            found = FAILED.search(ran.stdout)
            return "killed", found.group(1) if found else "?"
        case code:
            return "NOT RUN", f"pytest ended with {code}: {ran.stdout[-300:]}{ran.stderr[-300:]}"


def _run(copy: Path) -> subprocess.CompletedProcess[str]:
    options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "--timeout=60")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HYPOTHESIS"))}
    environ["PYTHONPATH"] = os.pathsep.join(str(copy / part) for part in ("poller", "handler"))
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-m", "pytest", *options, *TESTS]
    return subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False)


if __name__ == "__main__":
    sys.exit(main())
