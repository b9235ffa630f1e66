"""Orders to a running poller: close its breaker, give a record up, pause, resume, try now."""

from __future__ import annotations

from datahub_poller.commands.operating.breaker import breaker
from datahub_poller.commands.operating.give_up import give_up
from datahub_poller.commands.operating.pausing import pause, resume
from datahub_poller.commands.operating.retry_now import retry_now

ORDERS = (breaker, give_up, pause, resume, retry_now)
