"""Log lines: one form for everybody, no secrets, nothing that forges a line, nothing that raises."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.observe.logs import LineHandler, Throttle, get_logger, log_event, setup
from datahub_poller.observe.own_loggers import ROOT
from datahub_poller.observe.scrub import MASK, TEXT_LIMIT, Scrubber, one_line

OWN = get_logger("datahub_poller.loop")
THEIRS = logging.getLogger("user_functions.tags")
START = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO |WARN |ERROR|FATAL) ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


pytestmark = pytest.mark.usefixtures("logging_as_before")


def text(level: str = "info", scrub: frozenset[str] = frozenset()) -> io.StringIO:
    stream = io.StringIO()
    setup(level, "text", stream, scrub)
    only_ours()
    return stream


def raised(message: str) -> ValueError:
    """An error with a stack."""
    try:
        int(message)
    except ValueError as error:
        error.args = (message,)
        return error
    raise AssertionError


def objects(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def as_json(scrub: frozenset[str] = frozenset()) -> io.StringIO:
    stream = io.StringIO()
    setup("INFO", "json", stream, scrub)
    only_ours()
    return stream


def only_ours() -> None:
    """Without pytest's own handlers, which raise what a formatter raises."""
    for root in (logging.getLogger(), ROOT):
        root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, LineHandler)]


def test_a_line_has_time_level_event_and_its_fields_in_order():
    out = text()
    log_event(OWN, logging.INFO, "partition assigned", topic="mcl", partition=3, offset=0, reason=None)
    line = out.getvalue()
    assert START.match(line)
    assert line.endswith(" INFO  partition assigned topic=mcl partition=3 offset=0\n")


def test_json_has_one_object_per_line_with_fields_of_their_own_types():
    out = as_json()
    log_event(OWN, logging.WARNING, "commit failed", topic="mcl", offsets={"mcl-0": 7}, retry=True, after=0.5)
    (line,) = objects(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("at"))
    assert line == {
        "level": "warning",
        "event": "commit failed",
        "logger": "datahub_poller.loop",
        "topic": "mcl",
        "offsets": {"mcl-0": 7},
        "retry": True,
        "after": 0.5,
    }


@pytest.mark.parametrize(("number", "value"), [("2", 2), ("blue", "blue")])
def test_one_of_several_processes_says_in_each_line_which_it_is(monkeypatch, number, value):
    monkeypatch.setenv("POLLER_PROCESS", number)
    out = as_json()
    log_event(OWN, logging.INFO, "started", action="a")
    THEIRS.info("tagged")
    assert [line["process"] for line in objects(out)] == [value, value]
    plain = text()
    log_event(OWN, logging.INFO, "started", action="a")
    assert plain.getvalue().endswith(f" started process={number} action=a\n")


def test_a_field_of_that_name_is_the_lines_own_and_without_the_variable_there_is_none(monkeypatch):
    monkeypatch.setenv("POLLER_PROCESS", "2")
    out = as_json()
    log_event(OWN, logging.INFO, "process ended", process=1)
    monkeypatch.delenv("POLLER_PROCESS")
    plain = as_json()
    log_event(OWN, logging.INFO, "started")
    assert [line.get("process") for line in objects(out) + objects(plain)] == [1, None]


def test_fields_that_are_called_like_ours_do_not_replace_ours():
    out = as_json()
    log_event(OWN, logging.INFO, "started", at=1, level=2, event=3, logger=4, stack=5)
    (line,) = objects(out)
    assert line["event"] == "started"
    assert [line[f"{name}_"] for name in ("at", "level", "event", "logger", "stack")] == [1, 2, 3, 4, 5]


def test_other_loggers_come_out_in_the_same_form_and_by_name():
    out = text()
    THEIRS.info("tagged %d of %s", 3, "urn:li:x", extra={"owner": "me"})
    assert START.match(out.getvalue())
    assert out.getvalue().endswith(" tagged 3 of urn:li:x owner=me logger=user_functions.tags\n")


def test_arguments_that_do_not_fit_their_format_are_shown_and_nothing_is_raised():
    out = text()
    THEIRS.error("%d of %d", "one")
    assert "%d of %d" in out.getvalue()
    assert "one" in out.getvalue()


def test_values_with_spaces_or_quotes_are_quoted_and_empty_ones_are_seen():
    out = text()
    log_event(OWN, logging.INFO, "x", a="b c", d='say "hi"', e="", f="k=v", g=["é", 1])
    assert out.getvalue().endswith(' x a="b c" d="say \\"hi\\"" e="" f="k=v" g=["é", 1]\n')


@pytest.mark.parametrize("character", ["\n", "\r", "\x0b", "\x85", "\u2028", "\x1b[2J", "\x00", "\u202e"])
def test_no_field_event_name_or_logger_can_forge_a_line(character):
    forged = f"x{character}2026-01-02T03:04:05.678Z INFO  forged"
    for make, rows in ((text, 1), (as_json, 1)):
        out = make()
        logging.getLogger(f"user.{forged}").warning("%s", forged, extra={f"field{character}": forged})
        assert len(out.getvalue().splitlines()) == rows
        assert character not in out.getvalue().rstrip("\n")


def test_a_stack_is_indented_so_that_no_message_in_it_passes_for_a_line():
    out = text()
    error = raised("bad\n2026-01-02T03:04:05.678Z INFO  forged")
    log_event(OWN, logging.ERROR, "handler failed", exc_info=error, batch="b1")
    first, *rest = out.getvalue().splitlines()
    assert first.endswith("handler failed batch=b1")
    assert rest
    assert all(line.startswith("    | ") for line in rest)
    assert "test_logs.py" in out.getvalue()


def test_a_stack_is_a_field_in_json():
    out = as_json()
    THEIRS.error("failed", exc_info=raised("bad"))
    (line,) = objects(out)
    assert line["stack"].endswith("ValueError: bad\n")


def test_secrets_are_masked_in_messages_fields_keys_names_and_stacks():
    secret = 'pa"ss\\wörd/+ 7'
    for make in (text, as_json):
        out = make(scrub=frozenset({secret}))
        error = raised(f"cannot log in with {secret} nor {secret!r}")
        log_event(OWN, logging.ERROR, f"login {secret}", exc_info=error, a=secret, b=[{secret: {"x": secret}}])
        logging.getLogger(f"user.{secret}").warning("url %s", f"https://u:{quote(secret, safe='')}@h/{secret!r}")
        THEIRS.warning(json.dumps({"password": secret}), stack_info=True)
        shown = out.getvalue()
        assert MASK in shown
        for form in (
            secret,
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
            "wörd",
            "w\\u00f6rd",
        ):
            assert form not in shown


def test_a_secret_number_is_masked_and_the_line_stays_json():
    out = as_json(frozenset({"48151623"}))
    log_event(OWN, logging.INFO, "x", pin=48151623, other=7)
    (line,) = objects(out)
    assert (line["pin"], line["other"]) == (MASK, 7)


def test_every_line_of_a_private_key_is_masked():
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBK\nz1Z9c3kQx7vPq0aLwYd2"
    key = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    out = text(scrub=frozenset({key}))
    THEIRS.warning(key)
    THEIRS.warning("bad line MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBK here")
    assert "MIIE" not in out.getvalue()
    assert "z1Z9" not in out.getvalue()


def test_a_very_short_secret_is_masked_as_a_word_and_leaves_other_words_alone():
    scrubber = Scrubber({"ab", "", " "})
    assert scrubber.text("table ab, ab=ab") == f"table {MASK}, {MASK}={MASK}"


def test_a_secret_that_holds_another_is_masked_as_a_whole():
    assert Scrubber({"secret", "secret-two"}).text("secret-two secret") == f"{MASK} {MASK}"


def test_a_secret_across_the_cut_of_a_long_value_does_not_leave_its_head():
    shown = Scrubber({"hunter2hunter2"}).plain("x" * (TEXT_LIMIT - 5) + "hunter2hunter2" + "y" * 100)
    assert "hunte" not in shown
    assert shown.endswith(" more)")


def test_a_scrubber_does_not_show_what_it_hides():
    assert "hunter2" not in repr(Scrubber({"hunter2"}))


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("make", [text, as_json])
def test_whatever_is_logged_gives_a_line_and_raises_nothing(make):
    loop: list = []
    loop.append(loop)
    odd = {
        "rude": Rude(),
        "loop": loop,
        "nan": float("nan"),
        "huge": 10**5000,
        "bytes": b"\xff",
        "sur": "\ud800",
        1: {2},
    }
    out = make()
    log_event(OWN, logging.INFO, "odd", **{str(key): value for key, value in odd.items()}, all=odd)
    THEIRS.warning(Rude())
    THEIRS.warning("%s", Rude())
    lines = out.getvalue().splitlines()
    assert len(lines) >= 1
    out.getvalue().encode()
    if make is as_json:
        assert objects(out)[0]["nan"] == "nan"


def test_a_stream_that_is_gone_stops_nothing():
    stream = io.StringIO()
    setup("info", "text", stream)
    stream.close()
    log_event(OWN, logging.INFO, "still here")


def test_a_stream_that_knows_only_ascii_gets_escapes():
    raw = io.BytesIO()
    setup("info", "text", io.TextIOWrapper(raw, encoding="ascii"))
    log_event(OWN, logging.INFO, "x", name="é")
    assert raw.getvalue().endswith(b' x name="\\xe9"\n')


def test_colour_is_for_terminals_without_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for variable, coloured in ((None, True), ("", True), ("1", False)):
        if variable is not None:
            monkeypatch.setenv("NO_COLOR", variable)
        stream = Terminal()
        setup("info", "text", stream)
        log_event(OWN, logging.ERROR, "failed")
        assert ("\x1b[31m" in stream.getvalue()) is coloured
    stream = io.StringIO()
    monkeypatch.delenv("NO_COLOR")
    setup("info", "text", stream)
    log_event(OWN, logging.ERROR, "failed")
    assert "\x1b" not in stream.getvalue()


def test_setting_up_again_replaces_the_handler_and_leaves_others_alone():
    first, other = io.StringIO(), logging.NullHandler()
    logging.getLogger().addHandler(other)
    setup("info", "text", first)
    second = io.StringIO()
    setup("info", "text", second)
    log_event(OWN, logging.INFO, "once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert other in logging.getLogger().handlers


def test_levels_hold_and_libraries_that_log_every_request_are_heard_from_warning_on():
    out = text("WARNING")
    log_event(OWN, logging.INFO, "quiet")
    out_info = text("info")
    logging.getLogger("httpx2").info("GET /schemas/ids/1")
    logging.getLogger("botocore.credentials").info("found credentials")
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    assert out.getvalue() == ""
    assert [line.split()[1] for line in out_info.getvalue().splitlines()] == ["WARN"]
    out_debug = text("debug")
    logging.getLogger("httpx2").info("GET /schemas/ids/1")
    assert "GET" in out_debug.getvalue()


def test_warnings_of_libraries_become_lines():
    out = text()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        setup("info", "text", out)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in out.getvalue()
    assert all(START.match(line) for line in out.getvalue().splitlines())


def test_a_percent_sign_in_an_event_name_is_no_format():
    out = text()
    log_event(OWN, logging.INFO, "90% full %s")
    assert "90% full %s" in out.getvalue()


def test_what_is_below_the_level_costs_nothing():
    text("error")
    log_event(OWN, logging.INFO, "x", value=Rude())


def test_lines_of_several_threads_are_whole():
    script = (
        "import logging, sys, threading\n"
        "from datahub_poller.observe.logs import get_logger, setup, log_event\n"
        "setup('info', 'json', sys.stdout)\n"
        "logs = get_logger('datahub_poller'), logging.getLogger('theirs')\n"
        "def work(n):\n"
        "    for i in range(200): log_event(logs[n % 2], 20, 'line', thread=n, number=i, fill='x' * 500)\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=env, check=True
    )
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 800
    assert {line["event"] for line in lines} == {"line"}


def test_a_throttle_lets_one_through_per_time_and_key_and_counts_the_rest():
    throttle = Throttle(every=10.0)
    assert throttle.admit("a", 0.0) == 0
    assert throttle.admit("a", 1.0) is None
    assert throttle.admit("b", 1.0) == 0
    assert throttle.admit("a", 9.9) is None
    assert throttle.admit("a", 10.0) == 2
    assert throttle.admit("a", 19.0) is None
    assert throttle.admit("a", 25.0) == 1


def test_a_throttle_stays_small():
    throttle = Throttle(every=10.0, keys=3)
    for key in range(100):
        assert throttle.admit(key, float(key) / 100) == 0
    assert throttle.admit(99, 1.0) is None
    assert throttle.admit(0, 1.0) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(event=st.text(), fields=st.dictionaries(st.text(), JSON), secret=st.text(min_size=4, max_size=12))
def test_any_fields_make_one_line_of_strict_json_and_one_of_text(event, fields, secret):
    for form in ("text", "json"):
        stream = io.StringIO()
        setup("info", form, stream, frozenset({secret}))
        record = logging.LogRecord("datahub_poller", 20, "", 1, event, (), None)
        record.datahub_poller_fields = fields
        (handler,) = [each for each in logging.getLogger().handlers if isinstance(each, LineHandler)]
        handler.emit(record)
        (line,) = stream.getvalue().splitlines()
        assert line.encode().decode() == line
        if form == "json":
            json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        else:
            assert START.match(line)


@given(
    before=st.text(), after=st.text(), secret=st.text(min_size=4).filter(lambda text: text.strip() and text not in MASK)
)
def test_a_masked_text_does_not_hold_the_secret(before, after, secret):
    scrubber = Scrubber({secret})
    masked = scrubber.text(before + secret + after)
    assert MASK in masked
    # Masking may by chance put the secret together anew out of its surroundings and asterisks; else it is gone.
    assert secret not in masked or "*" in secret


@given(st.text())
def test_one_line_is_one_line_and_fits_utf8(given_text):
    shown = one_line(given_text)
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_a_line_that_comes_in_the_middle_of_another_one_is_written(tmp_path):
    class Interrupted(io.TextIOWrapper):
        def flush(self):
            if not told:
                told.append(True)
                log_event(logger, logging.INFO, "signal received")
            super().flush()

    told: list[bool] = []
    logger = get_logger("datahub_poller.interrupted")
    with (tmp_path / "log").open("wb") as file, Interrupted(file, "utf-8") as stream:
        setup("info", "text", stream)
        log_event(logger, logging.INFO, "status is served")
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(line.split("INFO  ")[1] for line in lines) == ["signal received", "status is served"]
