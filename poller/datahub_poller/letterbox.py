"""Where an action's dead letters are written to, made of its file. Only what the file names is imported."""

from __future__ import annotations

from datahub_poller.config import ActionFile
from datahub_poller.deadletter.sink import Sink


def sink(action: ActionFile) -> Sink:
    """Where dead letters go, not connected yet."""
    from datahub_poller.deadletter.file import FileSink  # noqa: PLC0415 - only where letters go to files

    own = action.dead_letter.config.directory
    setting = "options.failed_events_dir" if own is None else "dead_letter.config.directory"
    return FileSink(action.letters_directory, action.name, setting)
