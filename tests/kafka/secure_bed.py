"""A test's place on the secure cluster: it prepares as one who may do everything, and its poller comes in by one mode.

Owns the way in and the principal's access; knows nothing of what is expected.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka import unsecured_tokens
from kafka.cluster import KafkaCluster
from kafka.security import Access, Mode, Security, listener_for
from support.brokers import KafkaBed
from support.running import Stage


class SecureBed(KafkaBed):
    """`bootstrap` and `consumer` are the poller's; what the bed itself asks goes in where tests prepare things."""

    def __init__(self, cluster: KafkaCluster, mode: Mode) -> None:
        super().__init__(cluster.bootstrap)
        assert cluster.security is not None
        self.bootstrap = cluster.addresses(listener_for(mode))
        self.consumer |= cluster.security.client(mode)


class SecureStage(Stage):
    """A stage whose poller comes in by `mode`, with access to nothing yet."""

    def __init__(self, cluster: KafkaCluster, mode: Mode, directory: Path, unique: Callable[[str], str]) -> None:
        super().__init__(SecureBed(cluster, mode), directory, unique)
        assert cluster.security is not None
        self.security: Security = cluster.security
        self.access = Access(cluster.bootstrap)
        shutil.copy(unsecured_tokens.__file__, directory)

    def give(self, *routes: str, group: bool = True) -> None:
        """Let the principal read the topics of these routes, and be in the group."""
        self.access.give(topics=[self.topics[route] for route in routes], groups=[self.name] if group else [])

    def take(self, *routes: str, group: bool = False) -> None:
        """Take access away again."""
        self.access.take(topics=[self.topics[route] for route in routes], groups=[self.name] if group else [])

    def tokens(self, **plan: Any) -> None:
        """What the token function gives from now on; see `unsecured_tokens`."""
        draft = self.directory / "token-plan.draft"
        draft.write_text(json.dumps(plan))
        draft.replace(self.directory / unsecured_tokens.PLAN.name)

    def tokens_asked(self) -> int:
        """How often a token was asked for."""
        log = self.directory / unsecured_tokens.ASKED.name
        return len(log.read_text().splitlines()) if log.exists() else 0
