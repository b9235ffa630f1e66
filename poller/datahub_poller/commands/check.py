"""`check`: try all that `run` needs, without consuming."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datahub_poller.commands.shared import (
    ACTION_FILE,
    ENABLED_FALSE,
    NOT_STARTED,
    load_enabled,
    start_logging,
    verbatim,
)

if TYPE_CHECKING:
    from datahub_poller.checking import Finding

COLOURS = {"ok": "green", "failed": "red", "warning": "yellow", "skipped": "yellow"}


@click.command(
    short_help="Try all that `run` needs, without consuming.",
    epilog=verbatim("""
Imports the handler, writes to the dead-letter place, and asks the broker, each
topic and the registry. Joins no group and reads no record.

Exit codes: 0 all well (warnings included), or `enabled: false`, of which nothing
else is checked; 2 wrong use or configuration, 3 something failed.

Examples:
  datahub-poller check -c action.yaml
  datahub-poller check -c action.yaml --offline
  datahub-poller check -c action.yaml --json | jq .findings
"""),
)
@ACTION_FILE
@click.option("--offline", is_flag=True, help="Stop before connecting to anything.")
@click.option("--json", "as_json", is_flag=True, help="Print findings and settings as one JSON document.")
def check(path: Path, offline: bool, as_json: bool) -> None:
    """Print the effective settings, secrets masked, and try all that `run` needs, without consuming anything."""
    action = load_enabled(path, as_json)
    if action is None:
        _tell_disabled(path, as_json)
        return
    start_logging(action, "critical")
    from datahub_poller.checking import findings
    from datahub_poller.config import effective

    settings = effective(action, os.environ)
    if not as_json:
        _print_settings(settings)
    found = []
    for finding in findings(action, os.environ, offline):
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        _print_document(path, found, settings)
    else:
        _print_summary(found)
    if any(each.verdict == "failed" for each in found):
        sys.exit(NOT_STARTED)


def _tell_disabled(path: Path, as_json: bool) -> None:
    from datahub_poller.checking import Finding

    finding = Finding("action file", "warning", f"{ENABLED_FALSE}, and nothing else in the file is checked")
    if as_json:
        _print_document(path, [finding], None)
    else:
        _print_finding(finding)


def _print_settings(settings: Mapping[str, Any]) -> None:
    import yaml

    click.echo(f"# Effective settings of {settings['name']}, secrets masked\n")
    click.echo(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def _print_finding(finding: Finding) -> None:
    from datahub_poller.observe.scrub import one_line

    first, *more = finding.detail.splitlines()
    verdict = click.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
    text = "\n".join([f"{verdict} {finding.step}: {one_line(first)}", *(f"    | {one_line(line)}" for line in more)])
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def _print_summary(found: Sequence[Finding]) -> None:
    failed = [each.step for each in found if each.verdict == "failed"]
    tried = sum(each.verdict in ("ok", "failed") for each in found)
    click.echo(f"\n{len(failed)} of {tried} failed: {', '.join(failed)}" if failed else f"\nall {tried} ok")


def _print_document(path: Path, found: Sequence[Finding], settings: Mapping[str, Any] | None) -> None:
    verdict = "failed" if any(each.verdict == "failed" for each in found) else "ok"
    findings = [each._asdict() for each in found]
    document = {"file": str(path), "verdict": verdict, "findings": findings, "settings": settings}
    click.echo(json.dumps(document, indent=2, default=str))
