"""What is released: the wheel, made from the source archive, in an environment that has never seen the tree."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"datahub_poller": ROOT / "poller", "datahub_handler": ROOT / "handler"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("wheel"), pytest.mark.deep]


class Installed(NamedTuple):
    """An environment that has our wheel from the wheel only."""

    home: Path
    cwd: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the tree and from this process's own path."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = str(self.home / "bin" / command[0])
        return _run([path, *command[1:]], cwd=self.cwd, env=env)


def _run(command: Sequence[str], **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], cwd=out)
    assert len(list(out.glob("*.tar.gz"))) == 1
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home, cwd = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False, symlinks=True)
    python = str(home / "bin" / "python")
    install = ["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    _run([sys.executable, "-m", "pip", "--python", python, *install], cwd=cwd)
    # Third-party packages are lent by the development environment, after our own is in: the wheel's
    # directory stands before the lent one, and a .pth file in a lent directory is not read.
    own = Path(_run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=cwd).stdout.strip())
    (own / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(home, cwd)


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_every_file_of_both_packages_and_nothing_else(wheel):
    wanted = {
        path.relative_to(source).as_posix()
        for package, source in SOURCES.items()
        for path in (source / package).rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache"} & set(path.parts)
    }
    held = {name for name in _names(wheel) if ".dist-info/" not in name}
    assert held == wanted
    assert {"datahub_poller/py.typed", "datahub_handler/py.typed"} <= held
    assert any(name.endswith(".avsc") for name in held)


def test_the_wheel_names_its_licence_python_and_dependencies(wheel):
    metadata = _metadata(wheel)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in _names(wheel))
    named = metadata.get_all("Requires-Dist", [])
    needed = {re.split(r"[<>=!~ ]", each)[0].lower() for each in named if "extra ==" not in each}
    assert needed == {re.split(r"[<>=!~ ]", each)[0].lower() for each in PROJECT["dependencies"]}
    (of_msk,) = [each for each in named if "extra ==" in each]
    assert of_msk.startswith("aws-msk-iam-sasl-signer-python")
    assert "extra == 'msk'" in of_msk.replace('"', "'")


def test_the_installed_command_tells_its_version_and_its_commands(installed):
    assert PROJECT["version"] in installed.run("datahub-poller", "--version").stdout
    shown = installed.run("datahub-poller", "--help").stdout
    for command in ("run", "check", "status", "init", "demo"):
        assert re.search(rf"^  {command}\b", shown, re.MULTILINE), shown


def test_what_runs_is_what_the_wheel_holds(installed):
    script = "import datahub_poller as p, datahub_handler as h; print(p.__file__); print(h.__file__)"
    places = installed.run("python", "-c", script).stdout.split()
    assert len(places) == 2
    assert all(place.startswith(str(installed.home)) for place in places)


def test_every_module_of_the_wheel_can_be_imported(wheel, installed):
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in _names(wheel)
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    script = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    installed.run("python", "-W", "error", "-c", script, *modules)


def test_a_first_handler_is_made_from_the_wheel_and_its_tests_pass(installed):
    installed.run("datahub-poller", "init", "first")
    installed.run("python", "-W", "error", "first/test_handler.py")
    assert "all 3 ok" in installed.run("datahub-poller", "check", "--offline", "-c", "first/action.yaml").stdout


def test_the_demo_runs_from_the_wheel(installed):
    assert installed.run("datahub-poller", "demo").stdout
