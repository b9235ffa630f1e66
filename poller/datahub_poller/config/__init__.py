"""The action file: its models, how it is loaded and expanded, and DataHub's own spellings of it."""

from datahub_poller.config.container import Container, look
from datahub_poller.config.effective import effective, secrets_of
from datahub_poller.config.loading import load, load_enabled, parse_action
from datahub_poller.config.models import ActionFile
from datahub_poller.config.properties import consumer_properties

__all__ = [
    "ActionFile",
    "Container",
    "consumer_properties",
    "effective",
    "load",
    "load_enabled",
    "look",
    "parse_action",
    "secrets_of",
]
