"""The image as far as it goes without a builder: its steps on an overlay of this machine, its command as process 1."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from conftest import NOT_RUN
from datahub_poller import __version__
from support.brokers import eventually
from support.dockerfile import health_command, last
from support.jars import UnavailableError
from support.pretend_image import FirstProcess, PretendImage
from support.running import Stage

ROOT = Path(__file__).parents[2]
# A pin that the index does not have is no reason to skip.
NO_INDEX = re.compile("NewConnectionError|ConnectTimeoutError|NameResolutionError|ProxyError")

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("image")]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if os.environ.get("IMAGE_STEPS") != "1":
        pytest.skip(f"{NOT_RUN}the image's steps (they take packages from an index: IMAGE_STEPS=1 runs them)")
    try:
        with PretendImage(ROOT, tmp_path_factory.mktemp("image")) as image:
            try:
                image.build()
            except AssertionError as error:
                if NO_INDEX.search(str(error)):
                    pytest.skip(f"{NOT_RUN}the image's steps (no package index is reached)")
                raise
            yield image
    except UnavailableError as reason:
        pytest.skip(f"{NOT_RUN}the image's steps ({reason})")


@pytest.fixture
def mounts(image, tmp_path):
    """Two directories: the action file's, and one for letters that the image's user may write to."""
    action, letters = tmp_path / "action", tmp_path / "volume"
    for path in (action, letters):
        path.mkdir()
        path.chmod(0o755)
    shutil.chown(letters, image.uid, image.uid)
    return action, letters


def in_image(image, mounts, *words, letters=True, **environ):
    command = image.command(words, mounts[0], mounts[1] if letters else None, environ)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_built_runs_as_the_user_with_a_fixed_number_on_a_root_that_is_read_only(image, mounts):
    done = in_image(image, mounts, *last(image.image, "ENTRYPOINT").listed, "--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"datahub-poller {__version__}\n", "", 0)
    script = (
        "import os, datahub_poller as it; print(os.getpid(), os.getuid(), os.getgroups(), os.getcwd(), it.__file__)"
    )
    pid, uid, groups, cwd, file = in_image(image, mounts, "python", "-c", script).stdout.split()
    assert (pid, uid, groups, cwd) == ("1", "10001", "[]", "/var/lib/datahub-poller")
    assert file.startswith("/opt/datahub-poller/")
    assert "Read-only" in in_image(image, mounts, "python", "-c", "open('/opt/x', 'w')").stderr
    assert in_image(image, mounts, "python", "-c", "open('kept', 'w')").returncode == 0


def test_there_is_no_installer_in_the_environment_and_all_is_compiled(image, mounts):
    script = (
        "import importlib.metadata as m, pathlib, datahub_poller as it; "
        "print(sorted({d.name for d in m.distributions(path=[str(pathlib.Path(it.__file__).parents[1])])})); "
        "print((pathlib.Path(it.__file__).parent / '__pycache__').is_dir())"
    )
    done = in_image(image, mounts, "python", "-c", script)
    names, compiled = done.stdout.splitlines()
    assert "datahub-poller" in names
    assert "'pip'" not in names
    assert "hatchling" not in names
    assert compiled == "True"


def test_the_command_without_arguments_runs_the_file_that_is_mounted(image, mounts):
    words = [*last(image.image, "ENTRYPOINT").listed, *last(image.image, "CMD").listed]
    done = in_image(image, mounts, *words)
    assert done.returncode == 2
    assert "/etc/datahub-poller/action.yaml" in done.stderr


@pytest.fixture
def stage(image, mounts, mock_bed, unique):
    """Topics and events; the action file is the stage's, in the mounted directory, letters go to the volume."""
    with Stage(mock_bed, mounts[0], unique) as stage:
        stage.create(2, "pe")
        stage.send("pe", 0, 5)
        # The mounted directory belongs to nobody in there: what the handler does, its output tells.
        (mounts[0] / "telling.py").write_text("def handle(event, context): print('told', len(event['events']))\n")
        yield stage


def written(stage, **changes):
    config = {
        "handler/config/function": "telling:handle",
        "dead_letter": {"type": "file"},
        "options/failed_events_dir": "dead-letters",
        **changes,
    }
    return "/etc/datahub-poller/" + stage.action(config).name


def test_sigterm_ends_it_as_process_1_in_order_and_in_time(image, mounts, stage, tmp_path):
    words = [*last(image.image, "ENTRYPOINT").listed, "run", "-c", written(stage)]
    log = tmp_path / "log"
    with FirstProcess(image.command(words, *mounts, {"container": "pretended"}), log) as poller:
        eventually(lambda: "told" in log.read_text() and stage.committed().get(stage.tp("pe")) == 5, "not delivered")
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        (served,) = [line for line in lines if line["event"] == "status is served"]
        port = re.search(r":(\d+)/", served["url"])[1]
        check = [word.replace("8470", port) for word in health_command(image.image)]
        assert in_image(image, mounts, *check).returncode == 0
        assert Path(f"/proc/{poller.pid()}/status").read_text().count("\nUid:\t10001\t10001\t10001\t10001\n") == 1
        began = time.monotonic()
        poller.terminate()
        assert poller.wait(30) == 0
        assert time.monotonic() - began < 5
        assert in_image(image, mounts, *check).returncode != 0
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "stopped"
    assert (mounts[1] / "dead-letters").is_dir()


def test_without_a_mount_for_dead_letters_it_does_not_start_and_says_so(image, mounts, stage):
    words = [*last(image.image, "ENTRYPOINT").listed, "run", "-c", written(stage)]
    done = in_image(image, mounts, *words, letters=False, container="pretended")
    assert done.returncode == 2
    assert "dead-letters" in done.stderr
    assert "Mount a volume there" in done.stderr


def test_what_has_no_handler_for_sigterm_does_not_end_as_process_1(image, mounts, tmp_path):
    """So the two tests beside this one would notice."""
    log = tmp_path / "log"
    script = "import time; print('there', flush=True); time.sleep(60)"
    with FirstProcess(image.command(["python", "-c", script], *mounts, {}), log) as deaf:
        eventually(lambda: "there" in log.read_text(), "it did not start")
        deaf.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            deaf.wait(1)


def test_the_registry_stand_in_ends_on_sigterm_as_process_1(image, tmp_path):
    script = "/etc/datahub-poller/stand_in.py"
    words = ["python", script, "registry", "--host", "127.0.0.1", "--port", "0"]
    log = tmp_path / "log"
    with FirstProcess(image.command(words, ROOT / "infra/docker/compose", None, {}), log) as registry:
        eventually(lambda: "http://" in log.read_text(), "the registry does not serve")
        registry.terminate()
        assert registry.wait(10) == 0
