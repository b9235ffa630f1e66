"""Dead letters must outlive the container: what the mount table says of a directory."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.config import look
from datahub_poller.config.container import Container, is_kept, mounts, stop_warning
from support.action_files import action_of, problems_of

TABLE = """\
510 450 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
511 510 0:53 / /proc rw,nosuid - proc proc rw
512 510 0:54 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
513 510 0:56 / /dev/shm rw - tmpfs shm rw
514 510 259:1 /vol/data /data rw,relatime shared:7 master:2 - ext4 /dev/nvme0n1p1 rw
515 510 0:60 / /mnt/my\\040letters rw - nfs4 fs-1.efs:/ rw
516 514 0:61 / /data/cache rw - tmpfs tmpfs rw
517 510 0:62 / /stacked rw - ext4 /dev/sdb rw
518 517 0:63 / /stacked rw - tmpfs tmpfs rw
garbage line
519 510
"""


@pytest.mark.parametrize(
    ("directory", "kept"),
    [
        ("/data", True),
        ("/data/letters/deep", True),
        ("/data/cache/letters", False),
        ("/database", False),
        ("/mnt/my letters/x", True),
        ("/mnt/my", False),
        ("/tmp/logs/datahub/actions", False),
        ("/dev/shm/letters", False),
        ("/stacked/letters", False),
        ("/", False),
    ],
)
def test_a_directory_is_kept_on_a_mount_that_is_not_memory(directory: str, kept: bool) -> None:
    assert is_kept(PurePosixPath(directory), mounts(TABLE)) is kept
    assert Container(inside=True, mountinfo=TABLE).keeps(Path(directory)) is kept


def test_outside_a_container_every_directory_is_kept() -> None:
    assert Container(inside=False, mountinfo="").keeps(Path("/tmp"))


def test_without_a_mount_table_nothing_in_a_container_is_kept() -> None:
    assert not Container(inside=True, mountinfo="").keeps(Path("/data"))


@given(st.text(alphabet="0 /-\\abc:\n", max_size=60), st.text(alphabet="/ab.", max_size=12))
def test_no_table_and_no_path_make_it_raise(table: str, path: str) -> None:
    is_kept(PurePosixPath("/" + path), mounts(table))


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/data/letters")
    assert Container(inside=True, mountinfo=TABLE).keeps(tmp_path / "link" / "x")


INSIDE = Container(inside=True, mountinfo=TABLE)


def test_in_a_container_letters_that_would_be_lost_are_refused_at_the_key_that_says_where() -> None:
    problems = problems_of({}, container=INSIDE)
    assert len(problems) == 1
    assert "options.failed_events_dir: is inside the container" in problems[0]
    assert "ephemeral: accept" in problems[0]
    assert "dead_letter.config.directory" in problems_of({"dead_letter.config.directory": "/x"}, container=INSIDE)[0]


def test_in_a_container_a_mount_or_a_word_is_enough() -> None:
    assert problems_of({"options.failed_events_dir": "/data/letters"}, container=INSIDE) == []
    own = {"dead_letter.config.directory": "/data/letters", "options.failed_events_dir": "/nowhere"}
    assert problems_of(own, container=INSIDE) == []
    assert (
        action_of({"dead_letter.config.ephemeral": "accept"}, container=INSIDE).dead_letter.config.ephemeral == "accept"
    )


def test_nobody_looks_unless_asked_to() -> None:
    assert problems_of({}) == []


@pytest.mark.parametrize("variable", ["ECS_CONTAINER_METADATA_URI_V4", "KUBERNETES_SERVICE_HOST", "container"])
def test_the_environment_can_tell_of_a_container(variable: str) -> None:
    found = look({variable: "x"})
    assert found.inside
    assert mounts(found.mountinfo)


# -- the image's health check


def told(status: object, asked: str = "8470") -> list[str]:
    action = action_of({"status": status}, environ={"HEALTH_CHECK_PORT": asked})
    return [warning for warning in action.warnings if "health check" in warning]


@pytest.mark.parametrize("status", [{}, {"host": "0.0.0.0"}, {"host": "::"}, {"host": "localhost"}, {"port": 8470}])
def test_what_the_image_s_health_check_finds_is_not_warned_of(status: object) -> None:
    assert told(status) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"host": "10.0.0.7"}, "status.host is 10.0.0.7: the image's health check asks 127.0.0.1 and will fail"),
        ({"host": "127.0.0.2"}, "status.host is 127.0.0.2"),
        ({"host": "::1"}, "status.host is ::1"),
        ({"port": 9000}, "status.port is 9000: the image's health check asks 8470 and will fail"),
        ({"port": 0}, "status.port is 0"),
        (False, "status.port is off"),
    ],
)
def test_what_it_does_not_find_is_warned_of_where_there_is_one_alone(status: object, words: str) -> None:
    (warning,) = told(status)
    assert warning.startswith(words)
    assert told(status, asked="") == []


def test_the_image_says_which_port_its_check_asks() -> None:
    text = (Path(__file__).parents[2] / "infra/docker/Dockerfile").read_text()
    assert re.findall(r"HEALTH_CHECK_PORT=(\d+)", text) == re.findall(r"'127.0.0.1', (\d+),", text) == ["8470"]


# -- the container's stop


@pytest.mark.parametrize(("deadline", "timeout"), [(25.0, "30"), (25.0, " 30.0 "), (115.0, "120"), (3600.0, "")])
def test_a_drain_that_fits_into_the_stop_is_not_worth_a_word(deadline: float, timeout: str) -> None:
    assert stop_warning(deadline, {"STOP_TIMEOUT": timeout}) is None
    assert stop_warning(deadline, {}) is None


@pytest.mark.parametrize(
    ("deadline", "timeout", "remedy"),
    [
        (25.0, "29", "stop timeout to 30 s, or lower shutdown.deadline to 24s"),
        (120.0, "120", "stop timeout to 125 s, or lower shutdown.deadline to 115s"),
        (25.0, "5", "stop timeout to 30 s"),
    ],
)
def test_a_drain_that_would_be_cut_off_is_told_with_the_remedy(deadline: float, timeout: str, remedy: str) -> None:
    said = stop_warning(deadline, {"STOP_TIMEOUT": timeout})
    assert said is not None
    assert said.endswith(remedy)
    assert f"into the {timeout} s between SIGTERM and SIGKILL" in said


def test_a_stop_timeout_that_is_no_number_is_told() -> None:
    assert stop_warning(25.0, {"STOP_TIMEOUT": "soon"}) == (
        "STOP_TIMEOUT is 'soon', and not the seconds between SIGTERM and SIGKILL"
    )


def test_the_action_file_is_held_against_the_stop_of_its_container() -> None:
    long = {"shutdown": {"deadline": "2m"}}
    (warning,) = action_of(long, environ={"STOP_TIMEOUT": "120"}).warnings
    assert warning.startswith("shutdown.deadline (2m) and 5 s for the end do not fit")
    assert action_of(long, environ={}).warnings == ()
    assert action_of({}, environ={"STOP_TIMEOUT": "40"}).warnings == ()
