"""The keys of the action file that a producer, or what reads its topic, is made of: messages name them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from datahub_poller.kafka.oauth import KEY
from datahub_poller.kafka.reach import CONSUMER_CONFIG

_BOOTSTRAP: Final = "source.config.connection.bootstrap"
_OF_THE_SOURCE: Final = re.compile("|".join(map(re.escape, (KEY, CONSUMER_CONFIG, _BOOTSTRAP))))


class Settings(NamedTuple):
    """Paths of keys; `oauth` is where oauth_cb comes from."""

    topic: str = "dead_letter.config.topic"
    bootstrap: str = "dead_letter.config.bootstrap"
    properties: str = "dead_letter.config.producer_config"
    oauth: str = "dead_letter.config.producer_config.oauth_cb"

    def in_words(self, text: str) -> str:
        """What was said in terms of the source's settings, in terms of these."""
        own = {KEY: self.oauth, CONSUMER_CONFIG: self.properties, _BOOTSTRAP: self.bootstrap}
        return _OF_THE_SOURCE.sub(lambda match: own[match.group()], text)
