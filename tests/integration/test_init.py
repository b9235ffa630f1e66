"""The first ten minutes, typed as `init` and the README say: init, its tests, check, run against the demo's broker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.commands import environment, ran
from support.tether import tethered

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
IN_A_CONTAINER = re.compile(r"^In this container .*\n\n", re.MULTILINE)
PRINTED = re.compile(r"^[A-Z_]+ [A-Z]+ \S+ urn:li:", re.MULTILINE)


def typed(line: str, cwd: Path, **options) -> subprocess.Popen[str]:
    """A line in a shell, as the process it becomes. Credentials are what the line itself says."""
    environ = environment({"PATH": PATH, "NO_COLOR": "1", "TMPDIR": str(cwd)})
    credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return subprocess.Popen(
        tethered(["/bin/sh", "-c", f"set -e\n{line}"]),
        cwd=cwd,
        env={name: value for name, value in environ.items() if name not in credentials},
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        **options,
    )


def done(line: str, cwd: Path) -> str:
    """What the line prints; it has to end well."""
    with typed(line, cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, f"{line}\n{said}"
    return said


@contextmanager
def going_on(line: str, cwd: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """A line that runs until it is stopped. At the end it is asked to, so that it can stop what it has started."""
    with output.open("wb") as out:
        process = typed(line, cwd, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        try:
            process.terminate()
            process.wait(25)
        finally:
            process.kill()
            process.wait()


def wait_for(pattern: re.Pattern[str], output: Path, process: subprocess.Popen[str], within: float = 45.0) -> str:
    ends = time.monotonic() + within
    while not (match := pattern.search(output.read_text())):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < ends, f"no {pattern.pattern} in\n{output.read_text()}"
        time.sleep(0.1)
    return match[0]


def in_the_readme() -> str:
    (block,) = re.findall(r"```console\n(\$ datahub-poller init .*?)```", README, re.DOTALL)
    return block


def steps(said: str, title: str) -> list[str]:
    """The indented commands below a line that begins like this; one that a backslash goes on is one."""
    below = said.partition(title)[2].partition("\n")[2].partition("\n\n")[0]
    return [line.strip() for line in below.replace("\\\n", "").splitlines()]


def test_what_the_readme_shows_is_what_init_prints(tmp_path):
    said = IN_A_CONTAINER.sub("", done("datahub-poller init tag-sync", tmp_path))
    assert in_the_readme() == f"$ datahub-poller init tag-sync\n{said}"


@pytest.mark.timeout(180)
def test_the_first_ten_minutes(tmp_path):
    first, *_ = in_the_readme().splitlines()
    said = done(first.removeprefix("$ "), tmp_path)
    into, test, check, run = steps(said, "Next:")
    demo, *exports = steps(said, "Without a cluster:")
    assert "OK" in done(f"{into}; {test} 2>&1", tmp_path)
    assert "3 passed" in done(f"{into}; python -m pytest -p no:randomly", tmp_path)
    assert done(f"{into}; python test_handler.py; rm -rf __pycache__ .pytest_cache", tmp_path)

    shown = tmp_path / "demo"
    with going_on(f"exec {demo}", tmp_path, shown) as kept:
        wait_for(re.compile("in another terminal"), shown, kept)
        kafka = wait_for(re.compile(r"(?<=  Kafka {16}) *\S+:\d+"), shown, kept).strip()
        registry = wait_for(re.compile(r"(?<=  Confluent registry) *\S+"), shown, kept).strip()
        filled = "\n".join(exports).replace("http://127.0.0.1:PORT", registry).replace("127.0.0.1:PORT", kafka)
        assert "PORT" not in filled
        assert re.search(r"^all \d+ ok$", done(f"{filled}\n{into}; {check}", tmp_path), re.MULTILINE)
        # Another poller may have the usual status port on the machine that runs the tests.
        output = tmp_path / "run"
        with going_on(f"{filled}\n{into}; exec {run} --status-port 0", tmp_path, output) as poller:
            wait_for(PRINTED, output, poller)
            poller.send_signal(signal.SIGINT)
            assert poller.wait(30) == 0, output.read_text()
        assert "Traceback" not in output.read_text()
    letters = [path for path in (tmp_path / "tag-sync").rglob("*.log") if path.stat().st_size]
    assert letters == [], "either registry's framing is read, and the handler does what it is given"
    assert sorted(path.name for path in (tmp_path / "tag-sync").glob("*.*")) == [
        "action.yaml",
        "handler.py",
        "test_handler.py",
    ]


def test_an_odd_name_is_quoted_where_it_has_to_be_and_works_as_typed(tmp_path):
    done("datahub-poller init 'a: b #c/-é'", tmp_path)
    said = done("datahub-poller init -- '-o d'", tmp_path)
    into, test, check, _ = steps(said, "Next:")
    assert into == "cd './-o d'"
    done(f"{into}; {test} 2>&1; {check} --offline", tmp_path)


def test_a_directory_that_is_there_may_hold_other_things(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    said = done("datahub-poller init . --name tags --registry glue", tmp_path)
    assert steps(said, "Next:")[0].endswith("-m unittest"), "there is no directory to go to"
    assert "name: tags " in (tmp_path / "action.yaml").read_text()
    assert "SCHEMA_REGISTRY_TYPE:-glue" in (tmp_path / "action.yaml").read_text()


def test_a_dry_run_prints_what_would_be_written_and_writes_nothing(tmp_path):
    dry = ran("init", "there", "--dry-run", cwd=tmp_path)
    assert dry.code == 0
    assert list(tmp_path.iterdir()) == []
    assert ran("init", "there", cwd=tmp_path).code == 0
    for path in sorted((tmp_path / "there").iterdir()):
        assert f"==> there/{path.name} <==\n{path.read_text()}" in dry.out
    assert ran("init", "there", "--dry-run", cwd=tmp_path).code == 2


def test_files_that_are_there_are_named_and_left_alone(tmp_path):
    (tmp_path / "handler.py").write_text("mine")
    refused = ran("init", ".", "--name", "a", cwd=tmp_path)
    assert refused.code == 2
    assert refused.err == (
        "datahub-poller: handler.py: is there already\n"
        "datahub-poller: nothing was written: give another directory, or move away what is there\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["handler.py"]
    assert (tmp_path / "handler.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("file",), 2, "file: is not a directory: give another"),
        (("file/below",), 2, "file/below: is not a directory"),
        (("loop",), 2, "loop: is not a directory"),
        (("loop/below",), 1, "loop/below: cannot be written: Too many levels of symbolic links. Give a directory that"),
        (("x" * 300,), 1, "cannot be written: File name too long. Give a directory that you may write to"),
        (("/",), 2, "the name '' is empty. Give another: --name my-action"),
        (("$HOME",), 2, "the name '$HOME' holds a dollar sign, which an action file takes for a variable's. Give"),
        ((b"\xff",), 2, r"the name '\udcff' cannot be printed. Give another: --name my-action"),
        (("x", "--name", "a\tb"), 2, r"the name 'a\tb' cannot be printed"),
        ((), 2, "Missing argument 'DIR'"),
        (("x", "--registry", "auto"), 2, "'auto' is not one of 'confluent', 'glue'"),
    ],
)  # fmt: skip
def test_wrong_use_ends_in_one_clear_message(tmp_path, arguments, code, says):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = set(tmp_path.iterdir())
    refused = ran("init", *map(os.fsdecode, arguments), cwd=tmp_path)
    assert (refused.code, refused.out) == (code, "")
    assert says in refused.err
    assert "Traceback" not in refused.err
    assert set(tmp_path.iterdir()) == before


def test_a_directory_that_may_not_be_written_to(tmp_path):
    """To root everything is open but the kernel's own."""
    closed = Path("/sys") if os.getuid() == 0 else tmp_path
    closed.chmod(0o555) if closed is tmp_path else None
    if not closed.is_dir():
        pytest.skip("nothing is closed to root here")
    refused = ran("init", str(closed / "x"), cwd=tmp_path)
    assert refused.code == 1
    assert re.fullmatch(
        rf"datahub-poller: {closed}/x: cannot be written: \w.*\. Give a directory that you may write to\n", refused.err
    )
