"""The judge: what was called and is not allowed, what is allowed and was never called, with and without a grant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from recorded_calls.roles import role
from support.policies import Call
from support.recorded_calls import Asked
from support.template_grants import Place, Placed

Excepted = Callable[[str, Call], bool]
"""Whether who asks for this need not be allowed it."""


class Account(NamedTuple):
    """One asker in one test."""

    by: str
    test: str


class Judge:
    """Judges a recording. `grants` makes an asker's role of its calls."""

    def __init__(self, asked: Iterable[Asked], grants: Callable[[str, Collection[Call]], list[Placed]] = role) -> None:
        self._grants = grants
        self.calls: dict[Account, set[Call]] = defaultdict(set)
        for each in asked:
            self.calls[Account(each.by, each.test)].add(each.call)

    @cached_property
    def roles(self) -> Mapping[Account, list[Placed]]:
        """What each may do."""
        return {account: self._grants(account.by, calls) for account, calls in self.calls.items()}

    def refused(self, without: tuple[Place, ...] = ()) -> set[tuple[Account, Call]]:
        """Calls that nothing allows; `without` leaves grants out."""
        return {
            (account, call)
            for account, calls in self.calls.items()
            for call in calls
            if not any(each.grant.covers(call) for each in self.roles[account] if each.place not in without)
        }

    @cached_property
    def used(self) -> set[Place]:
        """Grants that some call needed."""
        return {
            each.place
            for account, calls in self.calls.items()
            for each in self.roles[account]
            if any(each.grant.covers(call) for call in calls)
        }
