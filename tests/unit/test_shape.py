"""The shape of the tree: sizes, docstrings, words that do not belong here, pins, and a README that tells the truth."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from datahub_poller.cli import cli

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("poller/**/*.py"), *ROOT.glob("handler/**/*.py"), *ROOT.glob("infra/**/*.py")])
FILE_LIMIT, FUNCTION_LIMIT = 300, 50
MADE = {"__pycache__", "build", "dist", "node_modules"}
# Put together here, so that this file passes its own test.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.$}/])/(?:" + "wo" + r"rk|ro" + r"ot|home/\w+)/"),
    "a package registry's address": re.compile(
        "py" + r"pi\.org|pythonhost" + r"ed\.org|--(?:extra-)?index-" + "url[ =]"
    ),
    "an unfinished place": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
    "a conflict's mark": re.compile(r"^(?:<<<<<<<|>>>>>>>) ", re.MULTILINE),
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> list[Path]:
    """Every text file of the project, what is made from it aside."""
    tops = [
        path for path in ROOT.iterdir() if path.is_file() or path.name in {".ci", "poller", "handler", "infra", "tests"}
    ]
    found = [each for top in tops for each in ([top] if top.is_file() else top.rglob("*")) if each.is_file()]
    kept = [path for path in found if not any(part in MADE or part.endswith("_cache") for part in path.parts)]
    return [path for path in kept if b"\0" not in path.read_bytes()]


def written(path: Path) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for line in path.read_text().splitlines())


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_short_and_so_are_its_functions(path):
    assert written(path) <= FILE_LIMIT
    for node in functions(path):
        assert node.end_lineno - node.lineno < FUNCTION_LIMIT, f"{node.name} in line {node.lineno}"


def test_a_typical_module_and_a_typical_function_are_much_shorter():
    files = sorted(map(written, MODULES))
    lengths = sorted(node.end_lineno - node.lineno + 1 for path in MODULES for node in functions(path))
    assert files[len(files) // 2] <= 150
    assert lengths[len(lengths) // 2] <= 10


@pytest.mark.parametrize("path", sorted([*MODULES, *ROOT.glob("tests/support/*.py")]), ids=named)
def test_a_module_says_first_what_it_is(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()) <= 8


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds_what_does_not_belong_here(what):
    found = [
        f"{named(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for path in texts()
        for text in [path.read_text("utf-8", "replace")]
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert found == []


def test_every_silenced_warning_names_its_rule_and_the_first_of_a_kind_in_a_file_its_reason():
    silent = re.compile("# (?:no" + "qa|type: " + "ignore)(.*)")
    form = re.compile(r"(?::( [A-Z]+\d+(?:, ?[A-Z]+\d+)*)|\[([a-z-]+)\])(?:.* [-#] (.{5,}))?$")
    for path in MODULES:
        explained = set()
        lines = ["", *path.read_text().splitlines()]
        for number, line in enumerate(lines):
            for match in silent.finditer(line):
                where = f"{named(path)}:{number}"
                parts = form.match(match[1])
                assert parts, f"{where}: which rule?"
                rules = parts[1] or parts[2]
                # The reason stands behind it, or in a comment on the line before.
                if parts[3] or lines[number - 1].strip().startswith("# "):
                    explained.add(rules)
                assert rules in explained, f"{where}: why?"


PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pinned_package_has_hashes_and_no_address(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    for block in blocks:
        if PIN.match(block):
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_both_environments_agree_and_hold_what_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: dev.get(name) for name in runtime} == runtime
    for wanted, held in ((project["project"]["dependencies"], runtime), (project["dependency-groups"]["dev"], dev)):
        names = {re.split(r"[\[<>=!~; ]", each)[0].lower().replace("_", "-") for each in wanted}
        assert names <= set(held)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def pages() -> list[Path]:
    return [path for path in texts() if path.suffix == ".md"]


def test_every_make_target_that_a_page_names_exists():
    for path in pages():
        for name in re.findall(r"(?:^|`|\$ )make ([a-z][a-z-]*)", path.read_text(), re.MULTILINE):
            assert name in targets(), f"{named(path)}: make {name}"


def test_every_command_that_a_page_names_exists():
    assert isinstance(cli, click.Group)
    for path in pages():
        for name in re.findall(r"(?:^|`|\$ |bin/)datahub-poller ([a-z][a-z-]*)", path.read_text(), re.MULTILINE):
            assert name in cli.commands, f"{named(path)}: datahub-poller {name}"


def test_every_link_within_the_tree_leads_somewhere():
    for path in pages():
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{named(path)}: {target}"


def test_make_help_lists_every_target_that_is_explained_and_is_the_default():
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "-C", str(ROOT)]
    shown = [
        subprocess.run([*command, *goal], capture_output=True, text=True, timeout=30, env=env, check=True).stdout
        for goal in ([], ["help"])
    ]
    assert shown[0] == shown[1]
    for name in ("setup", "demo", "test", "test-unit", "check", "format", "mutants", "lock", "wheel", "clean", "keys"):
        assert re.search(rf"^  make {name} +\w", shown[0], re.MULTILINE), name


def test_tests_are_asked_again_in_the_slow_layers_alone_and_where_they_judge_losses_never():
    command = ["make", "--no-print-directory", "-C", str(ROOT), "--dry-run", "test"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, check=True).stdout
    (slow,) = [line for line in said.splitlines() if "--reruns" in line]
    assert {"tests", "--ignore=tests/unit", "--ignore=tests/properties", "--ignore=tests/simulation"} <= set(
        slow.split()
    )
    excluded = re.findall(r"--rerun-exclude-path=(\S+)", slow)
    assert excluded
    assert [path for path in excluded if not (ROOT / path).exists()] == []
    assert {"tests/guarantees", "tests/integration/test_first_process.py"} <= set(excluded)


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("#!/bin/sh\nexit 1\n", "older than Python 3.11"),
        (f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; *) exec {sys.executable} "$@";; esac\n', "python3-venv"),
    ],
)
def test_make_says_what_is_missing_where_python_cannot_do_it(tmp_path, python, words):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.txt").touch()
    found = tmp_path / "python"
    found.write_text(python)
    found.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "setup", f"PYTHON={found}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        env=env,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_says_what_is_missing_where_there_is_no_python(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.txt").touch()
    done = subprocess.run(
        ["make", "setup", "PYTHON="], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "Python 3.11 or later is needed" in done.stderr
