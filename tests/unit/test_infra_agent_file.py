"""infra/ec2/cloudwatch-agent.json: what the agent's published schema asks of it, and that it fits the unit that writes.

https://github.com/aws/amazon-cloudwatch-agent/blob/main/translator/config/schema.json has the rules, of which these are
the ones for log files; each is written down here in our own words.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from support.units import Unit

EC2 = Path(__file__).parents[2] / "infra" / "ec2"
FILE = json.loads((EC2 / "cloudwatch-agent.json").read_text())
LOGS = Unit(EC2 / "datahub-poller-logs@.service", "tag-sync")

TEXT = {"file_path": 4096, "log_group_name": 512, "log_stream_name": 512, "multi_line_start_pattern": 4096}
FLAGS = {"publish_multi_logs", "auto_removal"}
OTHERS = {"timestamp_format", "timezone", "encoding", "blacklist", "retention_in_days", "filters", "log_group_class"}


def broken(document: Any) -> Iterator[str]:
    """The rules that a file does not keep."""
    logs = document.get("logs", {})
    if not {"logs_collected"} <= logs.keys() <= {"logs_collected", "log_stream_name", "force_flush_interval"}:
        yield "logs has what it does not know"
    if not 1 <= logs.get("force_flush_interval", 5) <= 172800:
        yield "an interval is out of range"
    files = logs.get("logs_collected", {}).get("files", {})
    collected = files.get("collect_list", [])
    if files.keys() != {"collect_list"} or not collected:
        yield "no file is collected"
    if len({json.dumps(each, sort_keys=True) for each in collected}) < len(collected):
        yield "a file is collected twice"
    for each in collected:
        yield from _entry_broken(each)


def _entry_broken(each: dict[str, Any]) -> Iterator[str]:
    if "file_path" not in each:
        yield "no file_path"
    if each.keys() - TEXT.keys() - FLAGS - OTHERS:
        yield "an entry has what it does not know"
    for name in each.keys() & TEXT.keys():
        if not isinstance(each[name], str) or not 1 <= len(each[name]) <= TEXT[name]:
            yield f"{name} is no text of that length"
    for name in each.keys() & FLAGS:
        if not isinstance(each[name], bool):
            yield f"{name} is neither true nor false"


def test_it_keeps_the_rules_of_the_published_schema():
    assert list(broken(FILE)) == []


def _changed(change):
    document = copy.deepcopy(FILE)
    change(document["logs"], document["logs"]["logs_collected"]["files"]["collect_list"])
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda logs, files: files[0].pop("file_path"),
        lambda logs, files: files.clear(),
        lambda logs, files: files.append(files[0]),
        lambda logs, files: files[0].update(unit="tag-sync"),
        lambda logs, files: files[0].update(publish_multi_logs="yes"),
        lambda logs, files: files[0].update(multi_line_start_pattern=""),
        lambda logs, files: logs.update(region="eu-west-1"),
        lambda logs, files: logs.update(force_flush_interval=0),
        lambda logs, files: logs["logs_collected"]["files"].update(collect=[]),
    ],
)
def test_a_file_that_does_not_would_be_noticed(change):
    assert list(broken(_changed(change)))


(COLLECTED,) = FILE["logs"]["logs_collected"]["files"]["collect_list"]


def test_the_agent_reads_what_the_unit_writes_and_nothing_else_there():
    written = LOGS.expanded(LOGS.setting("ExecStart")).split()[-1]
    assert written.startswith(f"/var/log/{LOGS.setting('LogsDirectory')}/")
    assert fnmatchcase(written, COLLECTED["file_path"])
    for beside in (".1", ".cursor", ".cursor.draft"):
        assert not fnmatchcase(written + beside, COLLECTED["file_path"])
    assert COLLECTED["publish_multi_logs"] is True  # a stream for each, instead of the newest file alone


def test_the_agent_is_the_user_that_owns_the_files():
    assert FILE["agent"]["run_as_user"] == LOGS.setting("User")
    assert LOGS.setting("UMask") == "0077"


def test_every_line_is_an_event_of_its_own():
    """A stack that is printed between would make a line of metrics unreadable."""
    for line in ('{"_aws":{}}', '  File "handler.py", line 1', "", "Traceback"):
        assert re.match(COLLECTED["multi_line_start_pattern"], line)


def test_it_asks_for_no_right_beyond_streams_and_lines():
    """With a retention it would have to describe log groups and change them; the template has it."""
    assert "retention_in_days" not in COLLECTED
    assert FILE.keys() == {"agent", "logs"}
