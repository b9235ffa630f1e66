"""`run --processes N`: one command, N members of a group; what becomes of them when one dies, or all shall stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from kafka.cluster import free_ports
from support.brokers import eventually
from support.commands import ran
from support.full_pipes import is_full
from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.running import Stage
from support.traffic import EAGER, QUICK_GROUP

pytestmark = pytest.mark.timeout(90)
LONG_SESSION = {"session_timeout_ms": 40_000, "heartbeat_interval_ms": 500}
linux = pytest.mark.skipif(sys.platform != "linux", reason="not run: /proc (it is Linux's)")


class Team:
    """The supervisor, and its processes as its log tells of them; none is left when the test is over."""

    def __init__(self, stage, action=None, count=2, *arguments, **environ):
        self.supervisor = stage.start(action, "poller.log", "--processes", str(count), *arguments, **environ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for line in self.supervisor.lines("process started"):
            if alive(line["pid"]):
                os.kill(line["pid"], signal.SIGKILL)

    def pids(self):
        """Whoever has each place now."""
        return {line["process"]: line["pid"] for line in self.supervisor.lines("process started")}

    def gone(self):
        return not any(alive(line["pid"]) for line in self.supervisor.lines("process started"))

    def assigned(self):
        """How many partitions each process got and has lost neither by moving nor by dying."""
        held = Counter()
        for line in self.supervisor.lines():
            where = (line.get("process"), line.get("topic"), line.get("partition"))
            if line["event"] == "partition assigned":
                held[where] = 1
            elif line["event"] in ("partition revoked", "partition lost"):
                held[where] = 0
            elif line["event"].startswith("process ended"):
                held = Counter({each: one for each, one in held.items() if each[0] != line["process"]})
        counts = Counter()
        for (process, *_), one in held.items():
            counts[process] += one
        return {process: count for process, count in counts.items() if count}

    def share(self, expected):
        self.supervisor.until(lambda: self.assigned() == expected, f"they do not share as {expected}")


def alive(pid):
    """Whether it runs: a zombie does not."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        if not status.exists():
            return sys.platform != "linux"
        with suppress(OSError):
            return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def settled(stage, team):
    team.supervisor.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed", 40)


def send(stage, partitions, count=20):
    for partition in range(partitions):
        stage.send("pe", partition, count)


def busy(stage, **shutdown):
    """Each of two has one partition and is in a call that does not end before it is released."""
    stage.create(2, "pe")
    stage.plan(hold="go")
    action = stage.action({f"shutdown/{key}": value for key, value in shutdown.items()}, **EAGER)
    team = Team(stage, action)
    team.share({0: 1, 1: 1})
    send(stage, 2, 5)
    team.supervisor.until(lambda: len({call.pid for call in stage.recorded().calls}) == 2, "not both are in a call")
    return team


def received(team, process):
    """The signals that this process has taken note of."""
    return [line["signal"] for line in team.supervisor.lines("signal received") if line.get("process") == process]


# -- work


def test_two_share_the_partitions_and_everything_is_delivered_once_and_committed(on_kafka):
    stage = on_kafka
    stage.create(4, "pe")
    with Team(stage, stage.action(**EAGER)) as team:
        team.share({0: 2, 1: 2})
        send(stage, 4)
        settled(stage, team)
        recorded = stage.recorded()
        assert recorded.times_done.total() == len(stage.produced) == 80
        assert {call.pid for call in recorded.calls} == set(team.pids().values())
        assert team.supervisor.stop() == 0
        assert team.gone()
    assert team.supervisor.lines()[-1]["event"] == "all processes have ended"
    assert {line["process"] for line in team.supervisor.lines("stopped")} == {0, 1}


@linux
def test_the_supervisor_is_small_and_has_no_kafka_client(mock_bed, tmp_path, unique, record_property):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage) as team:
            team.supervisor.wait_for("partition assigned")
            pid = team.supervisor.pid
            assert "rdkafka" not in Path(f"/proc/{pid}/maps").read_text()
            assert "rdkafka" in Path(f"/proc/{team.pids()[0]}/maps").read_text()
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            record_property("resident", status["VmRSS"])
            assert int(status["VmRSS"].split()[0]) < 60 * 1024
            assert status["Threads"] == "1"
            assert team.supervisor.stop() == 0


def test_a_process_knows_its_number_and_each_line_says_it(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        (tmp_path / "telling.py").write_text(
            "import os\nfrom pathlib import Path\n"
            "Path(__file__).with_name('number-' + os.environ['POLLER_PROCESS']).touch()\n"
            "def handle(event, context): pass\n"
        )
        keys = {"handler/config/function": "telling:handle"}
        keys["options/failed_events_dir"] = f"{tmp_path}/${{POLLER_PROCESS}}"
        with Team(stage, stage.action(keys), 3) as team:
            for number in range(3):
                team.supervisor.wait_for("started", process=number, letters=f"{tmp_path}/{number}/{stage.name}")
            assert sorted(each.name for each in tmp_path.glob("number-*")) == ["number-0", "number-1", "number-2"]
            assert team.supervisor.stop() == 0
            ours = {line["event"] for line in team.supervisor.lines() if "process" not in line}
            assert ours == {"signal received", "all processes have ended"}


# -- one dies


def test_one_that_is_killed_is_started_again_and_nothing_is_lost(on_kafka):
    stage = on_kafka
    stage.create(4, "pe")
    stage.plan(sleep=[0.0, 0.05])
    with Team(stage, stage.action(**EAGER, **QUICK_GROUP)) as team:
        team.share({0: 2, 1: 2})
        send(stage, 4, 30)
        first = team.pids()
        team.supervisor.until(lambda: first[1] in {call.pid for call in stage.recorded().calls}, "no call")
        os.kill(first[1], signal.SIGKILL)
        said = team.supervisor.wait_for("process ended: starting it again")
        assert (said["process"], said["signal"], said["after"]) == (1, "SIGKILL", 1.0)
        commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), set(stage.produced))
        send(stage, 4, 30)
        team.supervisor.wait_for("process started", 3)
        assert team.pids()[0] == first[0]
        team.share({0: 2, 1: 2})
        settled(stage, team)
        all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
        first_hand_outs_in_order(stage.recorded())
        assert team.supervisor.stop() == 0
        assert team.gone()


def test_one_that_is_told_to_stop_by_itself_is_started_again(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage) as team:
            for number in (0, 1):
                team.supervisor.wait_for("started", process=number)
            os.kill(team.pids()[0], signal.SIGTERM)
            said = team.supervisor.wait_for("process ended: starting it again")
            assert (said["process"], said["code"], said["after"]) == (0, 0, 1.0)
            team.supervisor.wait_for("started", 2, process=0)
            assert team.supervisor.stop() == 0


def test_a_file_that_is_broken_meanwhile_stops_nobody_else_and_is_tried_again(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        file = stage.action()
        right = file.read_text()
        with Team(stage, file) as team:
            for number in (0, 1):
                team.supervisor.wait_for("started", process=number)
            pids = team.pids()
            file.write_text("{")
            os.kill(pids[1], signal.SIGKILL)
            said = team.supervisor.wait_for("process ended: starting it again", 2)
            assert (said["process"], said["code"], said["after"]) == (1, 2, 2.0)
            assert alive(pids[0])
            file.write_text(right)
            team.supervisor.wait_for("started", 2, process=1)
            assert team.supervisor.stop() == 0


def test_a_record_that_halts_one_halts_all_and_they_do_not_meet_it_in_turn(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    with Team(stage, stage.action({"options/failure_mode": "THROW"}, **EAGER)) as team:
        team.share({0: 1, 1: 1})
        (place,) = stage.send("pe", 0, 1, poison=[0])
        assert team.supervisor.wait() == 1
        assert team.gone()
    (said,) = team.supervisor.lines("process ended: stopping all")
    assert said["code"] == 1
    (other,) = team.supervisor.lines("process ended")
    assert other["code"] == 0
    assert {call.pid for call in stage.recorded().calls} == {team.pids()[said["process"]]}
    assert stage.committed().get(stage.tp("pe", 0), 0) == place.offset


def test_where_the_file_asks_for_halts_one_that_is_killed_is_started_again(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage, stage.action({"options/failure_mode": "THROW"})) as team:
            team.supervisor.wait_for("started", process=1)
            os.kill(team.pids()[1], signal.SIGKILL)
            team.supervisor.wait_for("started", 2, process=1)
            assert team.supervisor.stop() == 0


# -- the end


def finish(stage, team):
    """Both have been told to stop: their calls end, what they did is committed, and all are gone."""
    for process in (0, 1):
        team.supervisor.wait_for("stopping", process=process)
    stage.release("go")
    assert team.supervisor.wait() == 0
    assert team.gone()
    assert stage.recorded().times_done.total() == len(stage.produced)
    assert stage.all_committed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_to_all_once_and_their_calls_finish(on_kafka, number):
    stage = on_kafka
    with busy(stage) as team:
        team.supervisor.signal(number)
        finish(stage, team)
    assert received(team, None) == [number.name]
    assert [received(team, process) for process in (0, 1)] == [["SIGTERM"], ["SIGTERM"]]


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(on_kafka):
    stage = on_kafka
    with busy(stage) as team:
        os.killpg(team.supervisor.pid, signal.SIGINT)
        finish(stage, team)
    assert [received(team, process) for process in (0, 1)] == [["SIGTERM"], ["SIGTERM"]]


def test_a_service_manager_that_tells_every_process_makes_no_second_signal_of_it(on_kafka):
    stage = on_kafka
    with busy(stage) as team:
        for pid in (team.supervisor.pid, *team.pids().values()):
            os.kill(pid, signal.SIGTERM)
        for process in (0, 1):
            team.supervisor.wait_for("stopping", process=process)
        for pid in team.pids().values():
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        assert not team.gone()
        finish(stage, team)


def test_all_leave_the_group_so_that_the_next_need_not_wait_for_their_sessions(on_kafka):
    stage = on_kafka
    stage.create(4, "pe")
    action = stage.action(**EAGER, **LONG_SESSION)
    with Team(stage, action) as team:
        team.share({0: 2, 1: 2})
        assert team.supervisor.stop() == 0
    began = time.monotonic()
    following = stage.start(action, "next.log")
    following.status_when(lambda status: status["assigned"] == 4, "it does not get them")
    assert time.monotonic() - began < 30
    assert following.stop() == 0


def test_calls_longer_than_the_deadline_are_abandoned_and_all_end(on_kafka):
    stage = on_kafka
    with busy(stage, deadline="2s") as team:
        began = time.monotonic()
        assert team.supervisor.stop() == 0
        assert time.monotonic() - began < 2.0 + 5.0
        assert team.gone()
    assert sum(stage.committed().values()) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_all_at_once(on_kafka, second):
    stage = on_kafka
    with busy(stage, deadline="30s") as team:
        team.supervisor.signal(signal.SIGTERM)
        for process in (0, 1):
            team.supervisor.wait_for("stopping", process=process)
        began = time.monotonic()
        team.supervisor.signal(second)
        assert team.supervisor.wait() == 1
        assert time.monotonic() - began < 10
        assert team.gone()
    assert sum(stage.committed().values()) == 0


def test_one_that_does_not_stop_is_killed_past_the_deadline(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage, stage.action({"shutdown/deadline": "1s"})) as team:
            for number in (0, 1):
                team.supervisor.wait_for("started", process=number)
            os.kill(team.pids()[1], signal.SIGSTOP)
            began = time.monotonic()
            assert team.supervisor.stop() == 1
            assert 4.0 <= time.monotonic() - began < 20.0
            assert team.gone()
            ends = {line["process"]: line for line in team.supervisor.lines("process ended")}
            assert (ends[0]["code"], ends[1]["signal"]) == (0, "SIGKILL")


def test_one_that_waits_to_be_started_again_does_not_hold_up_the_end(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        (tmp_path / "dying.py").write_text("import os\nos.abort()\n")
        with Team(stage, stage.action({"handler/config/function": "dying:handle"})) as team:
            for number in (0, 1):
                team.supervisor.wait_for("process ended: starting it again", 4, process=number, signal="SIGABRT")
            began = time.monotonic()
            assert team.supervisor.stop() == 0
            assert time.monotonic() - began < 5.0  # each would be started in 8
            ends = team.supervisor.lines("process ended: starting it again")
            for number in (0, 1):
                assert [line["after"] for line in ends if line["process"] == number][:4] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("signals", [1, 2])
def test_signals_end_all_even_while_nobody_reads_the_log(mock_bed, tmp_path, unique, signals):
    log = tmp_path / "log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.plan(say=200)
        action = stage.action({"shutdown/deadline": "1s" if signals == 1 else "60s"})
        supervisor = stage.start(action, log.name, "--processes", "2")
        stage.send("pe", 0, 5)
        eventually(lambda: stage.recorded().calls and is_full(reader), "the pipe is not full")
        supervisor.signal(signal.SIGTERM)
        if signals == 2:
            supervisor.insist(signal.SIGTERM)
        assert supervisor.wait(tell=False) == signals - 1
        eventually(lambda: not alive(stage.recorded().calls[0].pid), "a process is left")
    os.close(reader)


def test_no_process_outlives_a_supervisor_that_is_killed(on_kafka):
    stage = on_kafka
    with busy(stage) as team:
        team.supervisor.kill()
        eventually(lambda: len(team.supervisor.lines("stopping")) == 2, "they do not stop")
        stage.release("go")
        eventually(team.gone, "they do not end")
    assert stage.recorded().times_done.total() == len(stage.produced)
    assert stage.all_committed()


def test_a_supervisor_that_is_killed_while_its_processes_begin_leaves_none(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage) as team:
            team.supervisor.wait_for("process started", 2)
            team.supervisor.kill()
            eventually(team.gone, "they do not end")


def test_a_signal_while_its_processes_begin_ends_all_in_order(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        with Team(stage, None, 4) as team:
            team.supervisor.wait_for("process started")
            assert team.supervisor.stop() == 0
            assert team.gone()
            assert "Traceback" not in team.supervisor.text()


# -- what is checked first


def refused(stage, action, code, *arguments, count=2):
    done = ran("run", "-c", str(action), "--processes", str(count), *arguments, cwd=stage.directory)
    assert done.code == code, done.all
    assert "Traceback" not in done.all
    return done.err


@pytest.fixture
def offline(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


def test_a_wrong_file_is_told_once_and_nothing_is_started(offline):
    said = refused(offline, offline.action({"batch/size": 0, "retry/attemps": 3}), 2)
    assert len(said.splitlines()) == 2
    assert "batch.size: must be between" in said
    assert "retry.attemps: is not a key" in said


@pytest.mark.parametrize(
    ("port", "arguments", "where"), [(65535, (), "status.port"), (0, ("--status-port", "65535"), "--status-port")]
)
def test_more_status_ports_than_there_are_is_wrong_use(offline, port, arguments, where):
    said = refused(offline, offline.action({"status/port": port}), 2, *arguments)
    assert said.count("\n") == 1
    assert f": {where}: 2 status ports from 65535 on would go beyond 65535. Take a lower one" in said


@pytest.mark.parametrize("count", [0, 65])
def test_a_number_of_processes_that_cannot_be_is_wrong_use(offline, count):
    assert f"{count} is not in the range 1<=x<=64" in refused(offline, offline.action(), 2, count=count)


@pytest.mark.parametrize("name", ["one", "${POLLER_PROCESS:0:1}"])
def test_static_members_of_one_name_are_refused(offline, name):
    said = refused(offline, offline.action(group_instance_id=name), 2, count=11)
    assert said.count("\n") == 1
    assert "group.instance.id: '" in said
    assert "Put ${POLLER_PROCESS} into it, in source.config.connection.consumer_config: it is 0 to 10" in said


def test_static_members_named_by_the_environment_are_refused(offline):
    done = ran(
        *("run", "-c", str(offline.action()), "--processes", "2"),
        cwd=offline.directory,
        environ={"KAFKA_PROPERTIES_GROUP_INSTANCE_ID": "one"},
    )
    assert done.code == 2
    assert "group.instance.id: 'one' would be the name of more than one of 2 processes" in done.err


def test_static_members_with_names_of_their_own_share(on_kafka):
    stage = on_kafka
    stage.create(2, "pe")
    action = stage.action(group_instance_id="here-${POLLER_PROCESS}", **EAGER)
    with Team(stage, action) as team:
        team.share({0: 1, 1: 1})
        send(stage, 2)
        settled(stage, team)
        assert team.supervisor.stop() == 0


def test_an_action_that_is_not_enabled_starts_nothing(offline):
    unset = {"enabled": "${NOT_SET:-false}", "name": "${NOT_SET}"}
    assert "enabled is false" in refused(offline, offline.action(unset), 0)


def test_a_handler_that_cannot_be_loaded_stops_all_with_its_code(offline):
    said = refused(offline, offline.action({"handler/config/function": "nowhere:handle"}), 3)
    assert "could not start" in said
    assert '"event":"process ended: stopping all"' in said
    assert "starting it again" not in said


def test_a_status_port_that_is_taken_stops_all(offline):
    port = free_ports(2)[0]
    holder = offline.start(offline.action({"status/port": port}), "holder.log")
    holder.wait_for("status is served")
    if port == 65535:
        pytest.skip("the last port")
    said = refused(offline, offline.action({"status/port": port - 1}), 3)
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert holder.stop() == 0


# -- status


@pytest.mark.parametrize("option", [False, True])
def test_each_has_a_status_port_behind_the_one_before_it(offline, option):
    port = consecutive(3)
    action = offline.action({"status/port": "off" if option else port})
    arguments = ("--status-port", str(port)) if option else ()
    with Team(offline, action, 3, *arguments) as team:
        for number in range(3):
            url = f"http://127.0.0.1:{port + number}/status"
            team.supervisor.wait_for("status is served", process=number, url=url)
            assert ran("status", "--port", str(port + number), cwd=offline.directory).code == 0
        assert team.supervisor.stop() == 0


def test_any_free_port_stays_that_and_off_stays_off(offline):
    with Team(offline, offline.action({"status/port": 0})) as team:
        for number in (0, 1):
            team.supervisor.wait_for("status is served", process=number)
        assert len({line["url"] for line in team.supervisor.lines("status is served")}) == 2
        assert team.supervisor.stop() == 0
    with Team(offline, offline.action({"status/port": "off"})) as team:
        for number in (0, 1):
            team.supervisor.wait_for("started", process=number)
        assert team.supervisor.lines("status is served") == []
        assert team.supervisor.stop() == 0


def consecutive(count):
    """The first of so many ports in a row that nobody has."""
    while True:
        first = free_ports(1)[0]
        with suppress(OSError), ExitStack() as stack:
            for port in range(first, first + count):
                holder = stack.enter_context(socket.socket())
                holder.bind(("127.0.0.1", port))
            return first
