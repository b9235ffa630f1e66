"""Who imports what, seen in a process of its own: slow libraries come in only when they are needed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "poller", ROOT / "handler"]

AWS = ("aws_schema_registry", "boto3", "botocore", "s3transfer")
HTTP_STACKS = (
    "aiohttp",
    "authlib",
    "confluent_kafka.schema_registry",
    "httpcore",
    "httpx",
    "httpx2",
    "requests",
    "urllib3",
)
TESTS_ONLY = ("acryl", "datahub", "datahub_actions", "hypothesis", "moto", "pytest")
SLOW = (*AWS, *HTTP_STACKS, *TESTS_ONLY, "rich")


def imported_by(code: str) -> set[str]:
    """The modules that a new interpreter has after running the code, with no site of the user's in between."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SOURCES))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def of(modules: set[str], packages: tuple[str, ...]) -> set[str]:
    return {name for name in modules if any(name == package or name.startswith(f"{package}.") for package in packages)}


def test_the_command_starts_without_what_its_commands_need():
    modules = imported_by("import datahub_poller.cli")
    assert "datahub_poller.cli" in modules
    assert of(modules, (*SLOW, "confluent_kafka", "fastavro", "pydantic", "yaml")) == set()


def test_reading_an_action_file_needs_neither_kafka_nor_aws():
    assert of(imported_by("import datahub_poller.config.loading"), (*SLOW, "confluent_kafka", "fastavro")) == set()


@pytest.mark.parametrize("module", ["app", "service", "checking", "intake", "report"])
def test_the_daemon_is_loaded_without_aws_http_stacks_or_a_painter(module):
    assert of(imported_by(f"import datahub_poller.{module}"), SLOW) == set()


@pytest.mark.parametrize("module", ["decode.confluent", "decode.glue"])
def test_a_registry_client_is_loaded_with_its_first_fetch_and_not_before(module):
    assert of(imported_by(f"import datahub_poller.{module}"), SLOW) == set()


def test_the_logs_and_the_status_need_the_standard_library_only():
    modules = imported_by("import datahub_poller.observe.logs, datahub_poller.observe.server")
    tops = {name.partition(".")[0] for name in modules}
    assert tops - set(sys.stdlib_module_names) - imported_tops("pass") <= {"datahub_poller"}


def test_a_handler_needs_the_standard_library_only():
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'handler')!r})\n"
        "import importlib, pkgutil, datahub_handler\n"
        "for each in pkgutil.walk_packages(datahub_handler.__path__, 'datahub_handler.'):\n"
        "    importlib.import_module(each.name)\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"datahub_handler", "__main__"}


def imported_tops(code: str) -> set[str]:
    return {name.partition(".")[0] for name in imported_by(code)}


def module_level_imports(path: Path) -> set[str]:
    """The modules that are imported when this one is: not those in functions, nor those for the type checker."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module)):
                names.add(module)
    return names


def test_nothing_reads_the_environment_or_the_clock_when_it_is_imported():
    for source in SOURCES:
        for path in source.rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
                    text = ast.unparse(node)
                    assert "environ" not in text or isinstance(getattr(node, "value", None), ast.Constant), path
                    assert "getenv(" not in text, path
                    assert "time.time(" not in text, path
                    assert "monotonic()" not in text, path


def test_every_pure_module_is_held_to_it_by_a_contract():
    """A module whose docstring says "Pure" is named in the import contract."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (each for each in project["tool"]["importlinter"]["contracts"] if each["id"] == "pure")
    held = set(contract["source_modules"])
    claimed = set()
    for source in SOURCES:
        for path in source.rglob("*.py"):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            if path.is_relative_to(ROOT / "poller") and any(line.startswith("Pure") for line in docstring.splitlines()):
                claimed.add(".".join(path.relative_to(source).with_suffix("").parts))
    assert claimed - held == set()


def test_a_cheap_import_stays_cheap():
    """Modules that others import for a word or two import no library themselves."""
    for name in ("errors", "model", "lanes", "batching", "policy", "works", "ledger", "dispatch", "results", "source"):
        imports = module_level_imports(ROOT / "poller" / "datahub_poller" / f"{name}.py")
        foreign = {each.partition(".")[0] for each in imports} - set(sys.stdlib_module_names) - {"datahub_poller"}
        assert foreign == set(), name
