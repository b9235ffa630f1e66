"""The settings that an action runs with, for people to read, and the secrets that no output may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datahub_poller.config.dead_letter import KEYS_OF
from datahub_poller.config.models import ActionFile
from datahub_poller.config.properties import consumer_properties, property_name
from datahub_poller.config.secrets import long_enough, looks_secret, masked, secret_literals


def effective(action: ActionFile, environ: Mapping[str, str]) -> dict[str, Any]:
    """Every setting in plain JSON types with its default where the file says nothing, secrets masked.

    `consumer_properties` holds what librdkafka gets; durations and sizes are texts that the file could hold.
    """
    properties, _ = consumer_properties(action, environ)
    settings = action.model_dump(mode="json", by_alias=True, exclude_none=True)
    of_another_kind = {key for key, kinds in KEYS_OF.items() if action.dead_letter.type not in kinds}
    for key in of_another_kind & settings["dead_letter"]["config"].keys():
        del settings["dead_letter"]["config"][key]
    settings["status"]["port"] = "off" if action.status.port is None else action.status.port
    settings["consumer_properties"] = dict(sorted(properties.items()))
    hidden: dict[str, Any] = masked(settings, (), secrets_of(action, environ))
    return hidden


def secrets_of(action: ActionFile, environ: Mapping[str, str]) -> frozenset[str]:
    """Every secret text of four characters or more that the action knows, to be taken out of whatever is printed."""
    properties, _ = consumer_properties(action, environ)
    variables = [
        value
        for variable, value in environ.items()
        if (name := property_name(variable)) is not None and looks_secret(name)
    ]
    settings = action.model_dump(mode="json", by_alias=True)
    found = {*action.found_secrets, *long_enough(variables)}
    return frozenset({*found, *secret_literals(settings), *secret_literals(properties)})
