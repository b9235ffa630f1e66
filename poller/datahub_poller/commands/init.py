"""`init`: the files of a first handler."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.shared import FAILED, WRONG_USE, fail, fail_for, verbatim

if TYPE_CHECKING:
    from datahub_poller.scaffold import Registry


@click.command(
    short_help="Make the files of a first handler.",
    epilog=verbatim("""
Makes DIR if it is missing, and in it action.yaml, handler.py and
test_handler.py. Never writes over a file that is there.

Exit codes: 0 made, 1 could not be written, 2 wrong use, or a file is there.

Examples:
  datahub-poller init tag-sync
  datahub-poller init . --name tag-sync --registry glue
  datahub-poller init tag-sync --dry-run
"""),
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The action's name, its consumer group [default: that of DIR].")
@click.option(
    "--registry",
    type=click.Choice(["confluent", "glue"]),
    default="confluent",
    show_default=True,
    help="Where the schemas come from: a Confluent-compatible registry, or AWS Glue's.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
def init(directory: Path, name: str | None, registry: Registry, dry_run: bool) -> None:
    """Make the files of a first handler in DIR: an action file, the function, and tests that pass."""
    from datahub_poller.scaffold import FILES, BadName, files
    from datahub_poller.scaffold.writing import Occupied, refuse_occupied, write_new

    called = (Path(os.path.abspath(directory)).name if name is None else name).strip()  # noqa: PTH100 - follows no links
    try:
        refuse_occupied(directory, FILES)
        kept = _letters_are_kept(directory)
        texts = files(called, registry, kept)
        if not dry_run:
            write_new(directory, texts)
    except BadName as problem:
        fail(f"the name {called!r} {problem}. Give another: --name my-action", WRONG_USE)
    except Occupied as occupied:
        remedy = "nothing was written: give another directory, or move away what is there"
        fail_for([*(f"{_shown(path)}: is there already" for path in occupied.paths), remedy])
    except NotADirectoryError as error:
        fail(f"{_shown(Path(error.filename))}: is not a directory: give another", WRONG_USE)
    except OSError as error:
        place = _shown(Path(error.filename or directory))
        fail(f"{place}: cannot be written: {error.strerror}. Give a directory that you may write to", FAILED)
    click.echo(_as_they_would_be(directory, texts) if dry_run else _what_next(directory, FILES, kept))


def _letters_are_kept(directory: Path) -> bool:
    """Whether the container, if this is one, keeps the dead letters beside the action file."""
    from datahub_poller.config import look

    try:
        return look(os.environ).keeps(directory / "dead-letters")
    except RuntimeError:  # links in a circle: writing will tell
        return True


def _as_they_would_be(directory: Path, texts: Mapping[str, str]) -> str:
    return "\n".join(f"==> {_shown(directory / file)} <==\n{text}" for file, text in texts.items())


def _what_next(directory: Path, purposes: Mapping[str, str], kept: bool) -> str:
    paths = {_shown(directory / file): purpose for file, purpose in purposes.items()}
    width = max(map(len, paths))
    python, poller = _python(), _poller()
    lines = [f"made {path:<{width}}   {purpose}" for path, purpose in paths.items()]
    if not kept:
        lines += ["", "In this container dead letters are lost with it, and action.yaml accepts that: see its end."]
    return "\n".join([*lines, "", "Next:", *_steps(directory, python, poller), "", *_without_a_cluster(poller)])


def _steps(directory: Path, python: str, poller: str) -> Iterator[str]:
    if directory != Path():
        yield f"  cd {_shown(directory)}"
    yield f"  {python} -m unittest"
    yield f"  {poller} check -c action.yaml"
    yield f"  {poller} run -c action.yaml"


def _without_a_cluster(poller: str) -> Iterator[str]:
    yield "Without a cluster: leave a broker running in another terminal, and say here where it is, by what it prints:"
    yield f"  {poller} demo --keep"
    yield "  export KAFKA_BOOTSTRAP_SERVER=127.0.0.1:PORT SCHEMA_REGISTRY_URL=http://127.0.0.1:PORT"
    yield "  export SCHEMA_REGISTRY_TYPE=auto AWS_ENDPOINT_URL_GLUE=$SCHEMA_REGISTRY_URL AWS_REGION=us-east-1 \\"
    yield "    AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo"


def _python() -> str:
    """The Python that runs this, as it can be typed in any directory."""
    here = Path(sys.executable)
    for name in ("python", "python3"):
        found = shutil.which(name)
        if found and Path(found).parent == here.parent:
            return name
    return shlex.quote(sys.executable)


def _poller() -> str:
    """The command that runs this, as it can be typed in any directory."""
    if shutil.which("datahub-poller"):
        return "datahub-poller"
    beside = Path(sys.executable).with_name("datahub-poller")
    return shlex.quote(str(beside)) if beside.exists() else f"{_python()} -m datahub_poller"


def _shown(path: Path) -> str:
    """A path as it can be pasted; what cannot be printed is escaped."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    return shlex.quote(text) if text.isprintable() else ascii(text)
