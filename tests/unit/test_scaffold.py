"""The files of a first handler: right under any name that an action file can have, and written all or not at all."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from datahub_poller.config import Container, load
from datahub_poller.errors import ConfigError
from datahub_poller.scaffold import FILES, BadName, files
from datahub_poller.scaffold.writing import Occupied, write_new

IN_A_CONTAINER = Container(True, "")


def written(directory: Path, name: str = "tag-sync", registry="confluent", kept: bool = True) -> Path:
    write_new(directory, files(name, registry, kept))
    return directory / "action.yaml"


PLAIN_OR_ODD = ["tag-sync", "Tag sync", "-", "'\"\\", "a/b", "a: b #c", "é", "タグ", "😀"]
TAKEN_FOR_SOMETHING_ELSE = ["true", "1.5", "2026-01-31", "~", "{}"]


@pytest.mark.parametrize("name", [*PLAIN_OR_ODD, *TAKEN_FOR_SOMETHING_ELSE])
def test_any_name_that_can_be_printed_is_read_back_as_it_is(tmp_path, name):
    assert load(written(tmp_path, name), {}).name == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("a\nb", "cannot be printed"),
        ("a\0b", "cannot be printed"),
        ("\udcff", "cannot be printed"),
        ("$HOME", "holds a dollar sign"),
        ("a${B}", "holds a dollar sign"),
        (" a ", "would be read as 'a'"),
    ],
)
def test_a_name_that_would_not_arrive_is_refused(name, why):
    with pytest.raises(BadName, match=why):
        files(name, "confluent", True)


def test_the_action_file_takes_its_addresses_from_the_environment_and_has_defaults(tmp_path):
    path = written(tmp_path)
    action = load(path, {})
    assert not action.warnings
    connection = action.source.config.connection
    assert (connection.bootstrap, connection.schema_registry_url) == ("localhost:9092", "http://localhost:8081")
    assert action.source.config.schema_registry.type == "confluent"
    environ = {
        "KAFKA_BOOTSTRAP_SERVER": "b-1:9098",
        "SCHEMA_REGISTRY_URL": "http://registry",
        "SCHEMA_REGISTRY_TYPE": "auto",
    }
    changed = load(path, environ).source.config
    assert (changed.connection.bootstrap, changed.connection.schema_registry_url) == ("b-1:9098", "http://registry")
    assert changed.schema_registry.type == "auto"


def test_glue_is_chosen_in_the_file(tmp_path):
    action = load(written(tmp_path, registry="glue"), {})
    assert not action.warnings
    assert action.source.config.schema_registry.type == "glue"


def test_what_stands_in_comments_is_right_too(tmp_path):
    """Each commented key, taken in, is one that the poller knows."""
    path = written(tmp_path, registry="glue", kept=True)
    lines = path.read_text().splitlines()
    keys = ("consumer_config:", "  security.", "  sasl.", "region:", "ephemeral:")
    taken = [line.replace("# ", "", 1) if line.lstrip().removeprefix("# ").startswith(keys) else line for line in lines]
    path.write_text("\n".join(taken))
    action = load(path, {"KAFKA_USER": "u", "KAFKA_PASSWORD": "p"}, container=IN_A_CONTAINER)
    assert action.source.config.connection.consumer_config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert action.source.config.schema_registry.region == "eu-west-1"
    assert action.dead_letter.config.ephemeral == "accept"


def test_only_where_letters_are_lost_anyway_the_file_accepts_that(tmp_path):
    """What is made on a laptop insists on a volume when it comes into a container."""
    with pytest.raises(ConfigError, match="lost when the container goes"):
        load(written(tmp_path / "kept", kept=True), {}, container=IN_A_CONTAINER)
    assert load(written(tmp_path / "lost", kept=False), {}, container=IN_A_CONTAINER).name == "tag-sync"


def test_what_is_there_is_never_written_over_and_nothing_else_is_written(tmp_path):
    (tmp_path / "handler.py").write_text("mine")
    (tmp_path / "test_handler.py").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Occupied) as found:
        written(tmp_path)
    assert [path.name for path in found.value.paths] == ["handler.py", "test_handler.py"]
    assert (tmp_path / "handler.py").read_text() == "mine"
    assert not (tmp_path / "action.yaml").exists()
    assert not (tmp_path / "nowhere").exists()


def test_what_was_written_is_taken_back_where_not_all_can_be(tmp_path):
    """A limit on the size of a file stands for a disk that is full."""
    texts = files("tag-sync", "confluent", True)
    texts["test_handler.py"] = "x" * 100_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_new(tmp_path, texts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_every_file_that_is_named_is_made():
    assert set(files("a", "confluent", True)) == set(FILES)
