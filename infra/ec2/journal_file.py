"""Copies what one unit writes into the journal to a file that the CloudWatch agent reads.

    python3 journal_file.py UNIT FILE

The agent of Amazon Linux does not read the journal. FILE is renamed to FILE.1 at 16 MiB, in place of the FILE.1 before
it, so that the disk is bounded whether somebody reads or not. FILE.cursor says how far it has come: a new start goes on
behind it. The journal keeps everything, and whoever writes into it never waits for this.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MOST: Final = 16 * 1024 * 1024


def main(unit: str, file: Path) -> int:
    """Until the journal's reader ends, which it does not by itself."""
    cursor = file.with_name(f"{file.name}.cursor")
    with subprocess.Popen(reader(unit, cursor), stdout=subprocess.PIPE) as journal:
        assert journal.stdout is not None
        copy(journal.stdout, file, cursor)
    return journal.returncode or 1


def reader(unit: str, cursor: Path) -> list[str]:
    """The journal's own reader, from where the copy ends; at the first start from when the machine was started."""
    begin = f"--after-cursor={cursor.read_text()}" if cursor.exists() else "--boot"
    follow = ["--follow", "--no-tail", "--all", "--quiet", "--output=json", "--output-fields=MESSAGE"]
    return ["journalctl", f"--unit={unit}", *follow, begin]


def copy(entries: Iterable[bytes], file: Path, cursor: Path, most: int = MOST) -> None:
    """Each entry's message, and then its cursor: a line may come twice where this is killed, and is never missing."""
    draft = cursor.with_name(f"{cursor.name}.draft")
    for line in entries:
        entry = json.loads(line)
        written = append(file, message(entry.get("MESSAGE")) + b"\n")
        draft.write_text(entry["__CURSOR"])
        draft.replace(cursor)
        if written >= most:
            file.replace(file.with_name(f"{file.name}.1"))


def append(file: Path, line: bytes) -> int:
    """How large it has become."""
    with file.open("ab", buffering=0) as output:
        output.write(line)
        return output.tell()


def message(field: object) -> bytes:
    """As it was written: the journal tells what is no text as a list of bytes, and what is too large as nothing."""
    match field:
        case str():
            return field.encode()
        case list() if all(isinstance(each, int) for each in field):
            return bytes(field)
    return json.dumps(field).encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
