"""The files of a first handler: an action file, a function, and its tests.

Texts only: the templates lie beside this module. It must not know where they are written, nor ask anybody anything.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from string import Template
from typing import Final, Literal

import yaml

from datahub_poller.config import parse_action
from datahub_poller.errors import ConfigError

Registry = Literal["confluent", "glue"]

FILES: Final = {
    "action.yaml": "where the events come from, which of them, what is called",
    "handler.py": "the function: your work goes here",
    "test_handler.py": "its tests, which need no broker",
}
"""What is made, and what it is for."""

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*")
_KEPT: Final = """\
    # In a container the poller does not start unless a volume is mounted there, or this says that letters may be lost:
    # ephemeral: accept
"""
_LOST: Final = """\
    # Made in a container that has no volume there: it takes its dead letters with it when it goes. Good enough for a
    # first try. Then mount a volume and take this line out; without it the poller makes sure that there is one.
    ephemeral: accept
"""


class BadName(ValueError):
    """A name that no action file can have; says why."""


def files(name: str, registry: Registry, letters_are_kept: bool) -> dict[str, str]:
    """Each file's text by its name. The action file has been read back: it is right. Raises BadName."""
    made = {file: _template(file) for file in FILES}
    made["action.yaml"] = Template(made["action.yaml"]).substitute(
        name=_in_yaml(name), registry=registry, ephemeral=_KEPT if letters_are_kept else _LOST
    )
    _refuse_misread(name, made["action.yaml"])
    return made


def _template(file: str) -> str:
    return (resources.files(__package__) / f"{file}.template").read_text("utf-8")


def _in_yaml(name: str) -> str:
    """As it is where that is a text to YAML too, else in quotes."""
    if _PLAIN.fullmatch(name) and yaml.safe_load(name) == name:
        return name
    return json.dumps(name, ensure_ascii=False)


def _refuse_misread(name: str, text: str) -> None:
    if not name:
        raise BadName("is empty")
    if "$" in name:
        raise BadName("holds a dollar sign, which an action file takes for a variable's")
    if not name.isprintable():
        raise BadName("cannot be printed")
    try:
        action = parse_action(yaml.safe_load(text), {})
    except ConfigError as error:
        raise BadName(f"is refused: {'; '.join(error.problems)}") from None
    if action.name != name:
        raise BadName(f"would be read as {action.name!r}")
