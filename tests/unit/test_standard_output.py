"""Standard output that no text can break."""

from __future__ import annotations

import io
import os
import sys

import pytest

from datahub_poller.commands.run import _standard_output
from datahub_poller.observe.standard_output import StandardOutput, lenient, make_lenient

TEXT = "caf\u00e9 \ud83d"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, "backslashreplace"),
        ("strict", "backslashreplace"),
        ("surrogateescape", "backslashreplace"),
        ("replace", "replace"),
        ("xmlcharrefreplace", "xmlcharrefreplace"),
    ],
)
def test_an_error_handler_with_which_no_text_fails_stays(given: str | None, taken: str) -> None:
    assert lenient(given) == taken


@pytest.mark.parametrize(
    ("encoding", "errors", "written"),
    [
        ("ascii", "strict", b"caf\\xe9 \\ud83d\n"),
        ("utf-8", "strict", "café \\ud83d\n".encode()),
        ("utf-8", "surrogateescape", "café \\ud83d\n".encode()),
    ],
)
def test_what_the_encoding_cannot_hold_is_written_as_escapes(encoding: str, errors: str, written: bytes) -> None:
    reading, writing = os.pipe()
    try:
        print(TEXT, file=StandardOutput(writing, pytest.fail).text(encoding, errors))
        assert os.read(reading, 4096) == written
    finally:
        os.close(reading)
        os.close(writing)


def test_a_stream_is_made_lenient_where_it_can_be() -> None:
    under = io.BytesIO()
    stream = io.TextIOWrapper(under, "ascii", "strict")
    make_lenient(stream)
    stream.write(TEXT)
    stream.flush()
    assert under.getvalue() == b"caf\\xe9 \\ud83d"
    make_lenient(None)  # a standard stream that was closed from the beginning
    make_lenient(io.StringIO())


def test_where_standard_output_is_closed_a_handler_may_still_write_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output = _standard_output()
    try:
        assert sys.stdout.write(TEXT + "\n") == len(TEXT) + 1
    finally:
        os.close(output.fileno())
