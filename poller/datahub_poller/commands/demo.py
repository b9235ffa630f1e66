"""`demo`: see it work, with nothing to connect to."""

from __future__ import annotations

import sys

import click

from datahub_poller.commands.shared import verbatim


@click.command(
    short_help="See it work, with nothing to connect to.",
    epilog=verbatim("""
Examples:
  datahub-poller demo
  datahub-poller demo --keep
"""),
)
@click.option("--keep", is_flag=True, help="Leave broker, registry and poller running until Ctrl-C.")
def demo(keep: bool) -> None:
    """See it work: a broker, registries and events of its own, a handler, and the real poller. Needs no network."""
    from rich.console import Console

    from datahub_poller.demo.run import run_demo

    sys.exit(run_demo(keep, Console()))
