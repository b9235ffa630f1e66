"""What a machine of infra/ec2/group.yaml does when it starts: its first script as it is, with stand-ins."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from support.first_start import DOCUMENT, EC2, FirstStart

pytestmark = [pytest.mark.timeout(60), pytest.mark.deep]


@pytest.fixture
def machine(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    return FirstStart(tmp_path)


def modes(directory):
    """Of everything below it, links aside, by its path."""
    below = [each for each in directory.rglob("*") if not each.is_symlink()]
    return {str(each.relative_to(directory)): f"{each.stat().st_mode & 0o777:o}" for each in below}


def test_a_machine_installs_what_lies_in_the_bucket_and_starts_every_action(machine):
    done = machine.run()
    assert done.returncode == 0, done.stderr
    etc = machine.machine / "etc"
    assert modes(etc / "datahub-poller") == {
        "tag-sync.yaml": "644",
        "owners.yaml": "644",
        "tag_sync.py": "644",
        "tag-sync.env": "600",
    }
    assert (etc / "datahub-poller-drain.env").read_text() == "HOOK=drain\nGROUP=g\nLINGER=10\n"
    programs = machine.machine / "opt/datahub-poller/bin"
    assert os.access(programs / "drain.sh", os.X_OK)
    assert (programs / "journal_file.py").is_file()
    assert {each.name for each in (etc / "systemd/system").iterdir()} == {each.name for each in EC2.glob("*.service")}
    assert machine.called("enable") == [
        "systemctl enable --now datahub-poller-drain.service",
        "systemctl enable --now datahub-poller-logs@owners.service",
        "systemctl enable --now datahub-poller@owners.service",
        "systemctl enable --now datahub-poller-logs@tag-sync.service",
        "systemctl enable --now datahub-poller@tag-sync.service",
    ]
    assert len(machine.called("--require-hashes")) == 1
    assert machine.called("cfn-signal") == ["cfn-signal --exit-code 0 --stack s --resource Group --region r"]


def test_packages_of_handlers_are_installed_with_what_lies_below_them(machine, tmp_path):
    """Whatever modes they were sent with; an action file is one at the top alone."""
    package = machine.files / "actions/tagging"
    (package / "rules").mkdir(parents=True, mode=0o700)
    for name in ("__init__.py", "rules/__init__.py", "rules/defaults.yaml", "rules/keys.env"):
        (package / name).write_text(name)
        (package / name).chmod(0o600 if name.endswith(".py") else 0o755)
    assert machine.run().returncode == 0
    installed = machine.machine / "etc/datahub-poller"
    assert {name: mode for name, mode in modes(installed).items() if "tagging" in name} == {
        "tagging": "755",
        "tagging/__init__.py": "644",
        "tagging/rules": "755",
        "tagging/rules/__init__.py": "644",
        "tagging/rules/defaults.yaml": "644",
        "tagging/rules/keys.env": "600",
    }
    assert (installed / "tagging/rules/__init__.py").read_text() == "rules/__init__.py"
    assert {each.stat().st_uid for each in installed.rglob("*")} == {os.geteuid()}
    assert machine.called("defaults") == []


def test_a_link_is_not_followed(machine, tmp_path):
    """S3 has none; a folder that came in another way might."""
    secret = tmp_path / "shadow"
    secret.write_text("secret")
    secret.chmod(0o600)
    (machine.files / "actions/shadow.py").symlink_to(secret)
    assert machine.run().returncode == 0
    assert (machine.machine / "etc/datahub-poller/shadow.py").is_symlink()
    assert f"{secret.stat().st_mode & 0o777:o}" == "600"


def test_what_handlers_import_is_looked_in_last(machine):
    wanted = "import sys, wanted, json; print(wanted.__file__, json.__file__, sys.path[-1], sep='\\n')"
    (machine.files / "handler-requirements.txt").write_text("wanted==1.0\n")
    assert machine.run().returncode == 0
    place = machine.machine / "opt/datahub-poller/handlers"
    (asked,) = machine.called("--target")
    assert asked.startswith(f"pip install --quiet --only-binary :all: --target {place} -r ")
    assert asked.endswith("/handler-requirements.txt")
    found, standard, last = machine.python(wanted).splitlines()
    assert (found, last) == (f"{place}/wanted.py", str(place))
    assert not standard.startswith(str(place))


def test_without_such_a_file_nothing_is_installed_for_handlers(machine):
    assert machine.run().returncode == 0
    assert machine.called("--target") == []
    assert "handlers" not in machine.python("import sys; print(sys.path)")


def test_drop_ins_of_units_lie_where_systemd_looks(machine):
    for name in ("datahub-poller@.service.d", "datahub-poller@tag-sync.service.d"):
        (machine.files / name).mkdir()
        (machine.files / name / "stop.conf").write_text("[Service]\nTimeoutStopSec=60s\n")
    assert machine.run().returncode == 0
    found = sorted((machine.machine / "etc/systemd/system").glob("*/*"))
    assert [str(Path(each.parent.name, each.name)) for each in found] == [
        "datahub-poller@.service.d/stop.conf",
        "datahub-poller@tag-sync.service.d/stop.conf",
    ]


def test_the_agent_is_given_its_file_with_the_stack_s_log_group(machine):
    assert machine.run().returncode == 0
    given = machine.machine / "etc/datahub-poller-logs.json"
    (collected,) = json.loads(given.read_text())["logs"]["logs_collected"]["files"]["collect_list"]
    assert collected["log_group_name"] == "/datahub-poller/g"
    made = DOCUMENT["Resources"]["Logs"]["Properties"]["LogGroupName"]["Fn::Sub"]
    assert made.replace("${GroupName}", "g") == collected["log_group_name"]
    assert machine.called("amazon-cloudwatch-agent-ctl") == [
        f"amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:{given}"
    ]


def test_without_cloudwatch_there_is_no_agent_and_no_copy_of_the_journal(machine):
    assert machine.run(logs="false").returncode == 0
    assert machine.called("amazon-cloudwatch") == machine.called("datahub-poller-logs") == []
    assert "LINGER" not in (machine.machine / "etc/datahub-poller-drain.env").read_text()


@pytest.mark.parametrize("trouble", [{"PIP": "1"}, {"INACTIVE": "3"}, {"NRESTARTS": "2"}], ids=str)
def test_a_version_that_is_not_installed_or_does_not_stay_up_is_told_to_cloudformation(trouble, machine):
    done = machine.run(**trouble)
    assert done.returncode != 0
    assert machine.called("cfn-signal") == ["cfn-signal --exit-code 1 --stack s --resource Group --region r"]
    if "PIP" not in trouble:
        assert "does not stay up" in done.stdout
        assert "its last words" in done.stdout


def test_pollers_are_given_longer_than_they_wait_for_brokers(machine):
    """Within that time a poller that reaches nobody would still look well."""
    assert machine.run().returncode == 0
    (waited,) = machine.called("sleep")
    assert int(waited.split()[1]) > 60 + 10  # client_timeout_seconds, and what it takes to start
