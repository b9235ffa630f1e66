"""The command line: what is asked for, and which runs and probes that means."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.runs import FULL, FULL_PROBES, QUICK, QUICK_PROBES, Probe, Run

DESCRIPTION: Final = """\
How fast the poller is beside a bare loop, and with --full beside other projects: one Apache Kafka, the same events.

Every run is a process and a consumer group of its own that reads from the beginning. Every other round goes through
the runs backwards; ratios are taken inside of a round, and their medians are judged.

Exit code 0: all bars reached; 1: a bar was missed, or a run failed; 2: the command line is wrong; 3: no Kafka.
"""
EXAMPLES: Final = """\
examples:
  make bench-quick                                       the poller beside a bare loop, with bars, in three minutes
  make bench                                             beside other projects too, each in an environment of its own
  make bench-quick ARGS='--bars off --rounds 1'          a look
  python tests/benchmarks/run.py --only 'poller, 1000' --only 'bare, 1000' --rounds 5
  python tests/benchmarks/run.py --full --json all.json  every run, for scripts

"""


class Chosen(NamedTuple):
    """What is to be done."""

    runs: list[Run]
    probes: list[Probe]


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """As typed, with what depends on other options. Ends the process where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=DESCRIPTION,
        epilog=EXAMPLES + _listed("runs", FULL, QUICK) + _listed("\nonce, after the rounds", FULL_PROBES, QUICK_PROBES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in (*FULL, *FULL_PROBES)]
    parser.add_argument("--full", action="store_true", help="every run, other projects too")
    parser.add_argument("--only", action="append", choices=names, metavar="RUN", help="this one; may be repeated")
    parser.add_argument("--rounds", type=_whole(1), help="3 unless told, 5 with --full")
    parser.add_argument("--events", type=_whole(1000), default=120_000, help="read by each run; 120000 unless told")
    parser.add_argument("--seed", type=int, default=1, help="what the events are made from; 1 unless told")
    parser.add_argument("--bars", choices=("on", "off"), default="on", help="off: only look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 5 if options.full else 3
    return options


def chosen(options: argparse.Namespace) -> Chosen:
    """What is asked for, and what it is measured against."""
    if not options.only:
        return Chosen(list(FULL), list(FULL_PROBES)) if options.full else Chosen(list(QUICK), list(QUICK_PROBES))
    wanted = {run.name for run in FULL if run.name in options.only}
    wanted |= {run.beside for run in FULL if run.name in wanted}
    return Chosen(
        [run for run in FULL if run.name in wanted],
        [probe for probe in FULL_PROBES if probe.name in options.only],
    )


def _listed(title: str, every: Iterable[Run | Probe], quick: Iterable[Run | Probe]) -> str:
    names = {each.name for each in quick}
    lines = (f"  {each.name:24}{'' if each.name in names else '--full'}".rstrip() for each in every)
    return "\n".join([f"{title}:", *lines, ""])


def _whole(step: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < 1 or value % step:
            raise argparse.ArgumentTypeError(f"{text}: a positive number" + f", in steps of {step}" * (step > 1))
        return value

    return number
