"""The image, built by buildah from the Dockerfile, run by runc: read-only root, no rights, its command as process 1."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from datahub_poller import __version__
from support import contained
from support.brokers import eventually
from support.running import Stage
from support.templates import checkov, passes_checkov

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "infra/docker/Dockerfile"
BILL = "usr/share/doc/datahub-poller/sbom.cdx.json"
UID = 10001
MOST_ADDED = 130_000_000
"""Bytes that our layers add to the base, unpacked: `infra/README.md` states what it was."""

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("image"), pytest.mark.deep]


@pytest.fixture
def mounts(tmp_path):
    """Two directories: the action file's, and one for letters that the image's user may write to."""
    action, letters = tmp_path / "action", tmp_path / "volume"
    for path in (action, letters):
        path.mkdir()
        path.chmod(0o755)
    shutil.chown(letters, UID, UID)
    return [(action, "/etc/datahub-poller", "ro"), (letters, "/var/lib/datahub-poller", "rw")]


def python(built, mounts, script):
    """What a script says in the image."""
    done = built.container(mounts=mounts, entrypoint=("python",)).ran("-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_built_runs_as_the_user_with_a_fixed_number_on_a_root_that_is_read_only(built, mounts):
    done = built.container(mounts=mounts).ran("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"datahub-poller {__version__}\n", "", 0)
    script = (
        "import os, datahub_poller as it; print(os.getpid(), os.getuid(), os.getgroups(), os.getcwd(), it.__file__)"
    )
    pid, uid, groups, cwd, file = python(built, mounts, script).split()
    assert (pid, uid, groups, cwd) == ("1", str(UID), "[]", "/var/lib/datahub-poller")
    assert file.startswith("/opt/datahub-poller/")
    python(built, mounts, "open('kept', 'w')")
    refused = built.container(mounts=mounts, entrypoint=("python",)).ran("-c", "open('/opt/x', 'w')")
    assert "Read-only" in refused.stderr
    rights = python(built, mounts, "print(*(each for each in open('/proc/self/status') if each.startswith('Cap')))")
    assert re.findall(r"\w+:\s+(\w+)", rights) == ["0" * 16] * 5


def test_there_is_no_installer_in_the_environment_and_all_is_compiled(built, mounts):
    script = (
        "import importlib.metadata as m, pathlib, datahub_poller as it; "
        "print(sorted({d.name for d in m.distributions(path=[str(pathlib.Path(it.__file__).parents[1])])})); "
        "print((pathlib.Path(it.__file__).parent / '__pycache__').is_dir())"
    )
    names, compiled = python(built, mounts, script).splitlines()
    assert "datahub-poller" in names
    assert "'pip'" not in names
    assert "hatchling" not in names
    assert compiled == "True"


def test_the_command_without_arguments_runs_the_file_that_is_mounted(built, mounts):
    done = built.container(mounts=mounts).ran()
    assert done.returncode == 2
    assert "/etc/datahub-poller/action.yaml" in done.stderr


def test_what_an_engine_is_told_of_it(built):
    config = built.images.config(built.NAME)
    assert config["User"] == f"{UID}:{UID}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["datahub-poller"]
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert not config["Volumes"]


def test_checkov_has_nothing_to_say_of_the_dockerfile_and_would_say_it(tmp_path):
    passes_checkov(DOCKERFILE, least=10, framework="dockerfile")
    open_to_all = tmp_path / "Dockerfile"
    open_to_all.write_text(DOCKERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert checkov(open_to_all, "dockerfile")["failed_checks"]


# -- what it is made of


def test_its_bill_of_materials_names_every_package_that_is_in_it(built, mounts):
    root = built.container().root
    bill = json.loads((root / BILL).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["type"] == "container"
    assert bill["metadata"]["component"]["version"] == __version__

    def listed(kind):
        found = [each for each in bill["components"] if each.get("purl", "").startswith(f"pkg:{kind}/")]
        return {(each["name"].lower().replace("_", "-"), each["version"]) for each in found}

    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    inside = {tuple(each.lower().replace("_", "-").split("==")) for each in python(built, mounts, script).split()}
    assert listed("pypi") == inside - {("datahub-poller", __version__)}
    asked = ["chroot", root, "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    assert listed("deb") >= {tuple(line.split()) for line in packages.splitlines()}
    (version,) = [each["version"] for each in bill["components"] if each["name"] == "python" and "cpe" in each]
    assert version == python(built, mounts, "import platform; print(platform.python_version(), end='')")
    (kafka,) = [each["version"] for each in bill["components"] if each["name"] == "librdkafka"]
    assert kafka == python(built, mounts, "import confluent_kafka; print(confluent_kafka.libversion()[0], end='')")
    carried = {each["properties"][0]["value"].split("-")[0] for each in bill["components"] if "#" in each["bom-ref"]}
    assert "cryptography" in carried
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references))


def test_its_size_is_what_the_page_says(built):
    """Of the base, which is another's, nothing is said here."""
    root = built.container().root
    du = ["du", "--summarize", "--bytes", root / "opt/datahub-poller", root / "usr/share/doc/datahub-poller"]
    said = subprocess.run(du, capture_output=True, text=True, check=True, timeout=60).stdout
    added = sum(int(line.split()[0]) for line in said.splitlines())
    stated = re.search(r"our layers are ([\d.]+) MB unpacked", (ROOT / "infra/README.md").read_text())
    print(f"{added / 1e6:.0f} MB")
    assert added <= MOST_ADDED
    assert abs(added / 1e6 - float(stated[1])) < 12


# -- an image of a user's own


SLEEPER = "import time; print('there', flush=True); time.sleep(60)"
HANDLER = "def handle(event, context):\n    print('told', len(event['events']))\n"


def test_a_handler_of_ones_own_is_two_lines_and_takes_the_place_of_nothing(built, mounts, tmp_path):
    context = tmp_path / "mine"
    context.mkdir()
    lines = ["FROM datahub-poller", "COPY tag_sync.py json.py /handlers/"]
    assert len(lines) == 2
    (context / "Dockerfile").write_text("\n".join(lines))
    (context / "tag_sync.py").write_text(HANDLER)
    (context / "json.py").write_text("raise SystemExit('taken for the standard library')\n")
    built.images.build("localhost/mine", context, context / "Dockerfile")
    config = built.images.config("localhost/mine")
    assert (config["User"], config["Entrypoint"]) == (f"{UID}:{UID}", ["datahub-poller"])
    action = {
        "name": "mine",
        "source": {"type": "kafka", "config": {"connection": {"bootstrap": "127.0.0.1:1"}}},
        "handler": {"config": {"function": "tag_sync:handle"}},
        "dead_letter": {"config": {"ephemeral": "accept"}},
        "options": {"failed_events_dir": "dead-letters"},
    }
    (mounts[0][0] / "action.yaml").write_text(json.dumps(action))
    words = ("check", "--offline", "-c", "/etc/datahub-poller/action.yaml")
    done = built.container("localhost/mine", mounts=mounts).ran(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert built.container(mounts=mounts).ran(*words).returncode == 3, "the handler is in the other one alone"


def test_the_readme_has_the_same_two_lines():
    found = re.search(r"```dockerfile\n(.*?)```", (ROOT / "infra/README.md").read_text(), re.DOTALL)
    assert found[1].splitlines() == ["FROM datahub-poller", "COPY tag_sync.py /handlers/"]


# -- while it runs


@pytest.fixture
def stage(mounts, mock_bed, unique):
    """Topics and events; the action file is the stage's, in the mounted directory, letters go to the volume."""
    with Stage(mock_bed, mounts[0][0], unique) as stage:
        stage.create(2, "pe")
        stage.send("pe", 0, 5)
        # The mounted directory belongs to nobody in there: what the handler does, its output tells.
        (mounts[0][0] / "telling.py").write_text(HANDLER)
        yield stage


def written(stage, **changes):
    config = {
        "handler/config/function": "telling:handle",
        "dead_letter": {"type": "file"},
        "options/failed_events_dir": "dead-letters",
        **changes,
    }
    return "/etc/datahub-poller/" + stage.action(config).name


@contextmanager
def running(command, log):
    """It gets signals as from an engine; what is left at the end is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def in_the_same(process, program, command):
    """Run a command inside of the container that a process has become. As `docker exec` does."""
    about = json.loads(Path(program[1]).read_text())
    whole = [about["runc"], "--root", about["place"], "exec", f"poller-{process.pid}", *command]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)


def process_1(process, program):
    """The number that it has outside."""
    place = json.loads(Path(program[1]).read_text())["place"]
    return json.loads(Path(place, f"poller-{process.pid}", "state.json").read_text())["init_process_pid"]


def test_sigterm_ends_it_as_process_1_in_order_and_in_time(built, mounts, stage, tmp_path):
    log = tmp_path / "log"
    container = built.container(mounts=mounts, env={"container": "pretended"})
    program = container.program()
    with running([sys.executable, *program, "run", "-c", written(stage)], log) as poller:
        eventually(lambda: "told" in log.read_text() and stage.committed().get(stage.tp("pe")) == 5, "not delivered")
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        (served,) = [line for line in lines if line["event"] == "status is served"]
        port = re.search(r":(\d+)/", served["url"])[1]
        check = [word.replace("8470", port) for word in container.config["Healthcheck"]["Test"][1:]]
        eventually(
            lambda: in_the_same(poller, program, check).returncode == 0, "not healthy, within the second that news take"
        )
        wrong = [word.replace(port, "1") for word in check]
        assert in_the_same(poller, program, wrong).returncode != 0
        began = time.monotonic()
        poller.send_signal(signal.SIGTERM)
        assert poller.wait(30) == 0
        assert time.monotonic() - began < 10
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "stopped"
    assert (mounts[1][0] / "dead-letters").is_dir()


def test_without_a_mount_for_dead_letters_it_does_not_start_and_says_so(built, mounts, stage):
    done = built.container(mounts=mounts[:1], env={"container": "pretended"}).ran("run", "-c", written(stage))
    assert done.returncode == 2
    assert "dead-letters" in done.stderr
    assert "Mount a volume there" in done.stderr


def test_what_has_no_handler_for_sigterm_does_not_end_as_process_1(built, mounts, tmp_path):
    """So the two tests beside this one would notice."""
    log = tmp_path / "log"
    with running(built.container(entrypoint=("python", "-c", SLEEPER)).command("and"), log) as deaf:
        eventually(lambda: "there" in log.read_text(), "it did not start")
        deaf.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            deaf.wait(1)


def test_the_registry_stand_in_ends_on_sigterm_as_process_1(built, tmp_path):
    words = ("registry", "--host", "127.0.0.1", "--port", "0")
    mounts = [(ROOT / "infra/docker/compose", "/etc/datahub-poller", "ro")]
    log = tmp_path / "log"
    container = built.container(mounts=mounts, entrypoint=("python", "/etc/datahub-poller/stand_in.py"))
    with running(container.command(*words), log) as registry:
        eventually(lambda: "http://" in log.read_text(), "the registry does not serve")
        registry.send_signal(signal.SIGTERM)
        assert registry.wait(10) == 0


def test_nothing_of_a_container_outlives_what_started_it(built, tmp_path):
    log = tmp_path / "log"
    program = built.container(entrypoint=("python", "-c", SLEEPER)).program()
    with running([sys.executable, contained.__file__, program[1], "and"], log) as process:
        eventually(lambda: "there" in log.read_text(), "it did not start")
        inner = Path("/proc", str(process_1(process, program)))
        assert inner.exists()
        process.kill()
        eventually(lambda: not inner.exists(), "it still runs")
