"""What the README shows is what the code does: its tables, its handler, its action file."""

from __future__ import annotations

import re
from pathlib import Path

from datahub_handler.runtime import load
from datahub_poller.config import load as load_action
from support.outcomes import markdown

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in text]
    assert len(found) == 1, f"one {language} block with {containing!r}"
    return found[0]


def test_the_table_of_outcomes_is_the_tested_one():
    shown = README.partition("<!-- outcomes:begin -->\n")[2].partition("\n<!-- outcomes:end -->")[0]
    assert shown == markdown()


def test_the_handler_and_the_action_file_to_copy_fit_together(tmp_path, capsys):
    (tmp_path / "tag_sync.py").write_text(block("python", "def handle"))
    path = tmp_path / "action.yaml"
    path.write_text(block("yaml", "name: tag-sync"))
    action = load_action(path, {})
    assert action.name == "tag-sync"
    assert not action.warnings
    handle = load(action.handler.config.function, action.handler.config.path)
    change = {"category": "TAG", "entityUrn": "urn:li:dataset:x", "operation": "ADD", "modifier": "urn:li:tag:gold"}
    handle({"events": [{"event_type": "EntityChangeEvent_v1", "event": change}]}, None)
    assert capsys.readouterr().out == "urn:li:dataset:x ADD urn:li:tag:gold\n"


def test_every_command_it_names_exists():
    from datahub_poller.cli import cli

    named = set(re.findall(r"(?:`|\$ )datahub-poller ([a-z-]+)", README))
    assert named
    assert named <= set(cli.commands)


def test_every_make_target_it_names_exists():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|\$ )make ([a-z][a-z-]*)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
