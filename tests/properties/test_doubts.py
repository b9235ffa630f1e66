"""Any order of upgrades, records, questions and answers: no letter that a later question would have saved."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from datahub_poller.decode.reader import Reader
from datahub_poller.errors import Transient
from datahub_poller.model import Record
from support.changing import BAD, FIRST, GOOD, KEY, NEW, OLD, OTHER, World, record

TEXTS = (OLD, NEW, FIRST)


class DoubtsMachine(RuleBasedStateMachine):
    """The model keeps what the registry named and when, and when each record was first refused."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0
        self.waiting: dict[int, tuple[Record, str | None, int]] = {}  # and how many questions were put before
        self.pending: list[tuple[int, str | None]] = []  # a question's number, and what the id named then
        self.settled = 0
        self.seen = {OLD}

    @initialize()
    def begin(self):
        self.world = World()

    @rule(text=st.sampled_from(TEXTS))
    def upgrade(self, text):
        self.world.registry.names[KEY] = text

    @rule()
    def goes_away(self):
        self.world.registry.error = Transient("HTTP 503")

    @rule()
    def comes_back(self):
        self.world.registry.error = None

    @rule(text=st.sampled_from((*TEXTS, None)), partition=st.integers(0, 1))
    def comes(self, text, partition):
        self.offset += 1
        each = record(BAD if text is None else GOOD[text], self.offset, partition)
        self._judge(self.offset, each, text, len(self.world.doubts))

    @rule(seconds=st.floats(0.01, 12.0))
    def time_goes_by(self, seconds):
        before = len(self.world.doubts)
        named = None if self.world.registry.error else self.world.registry.names[KEY]
        self.world.tick(seconds)
        if len(self.world.doubts) > before:
            self.pending.append((before + 1, named))

    @precondition(lambda self: self.world.open)
    @rule(seconds=st.floats(0.0, 0.5))
    def is_answered(self, seconds):
        self.world.answer(seconds)
        for number, named in self.pending:
            if named is not None:
                self.seen.add(named)
                self.settled = number
        self.pending.clear()
        for offset, (each, text, since) in list(self.waiting.items()):
            del self.waiting[offset]
            self._judge(offset, each, text, since)

    def _judge(self, offset, each, text, since):
        verdict = self.world.read(each)
        if text in self.seen:
            assert verdict == "event"
        elif verdict == "Awaiting":
            assert self.settled <= since
            self.waiting[offset] = (each, text, since)
        else:
            assert verdict in ("not_avro", "left_over_bytes")
            assert self.settled > since, "no question was put after it was refused"

    @invariant()
    def what_waits_is_asked_for(self):
        if getattr(self, "world", None) is not None and self.waiting:
            waits = self.world.intake.waiting()[KEY]
            assert waits.reason
            dues = [question.due for question in self.world.schemas._doubted().values() if not question.asking]
            assert all(due <= self.world.now + 10.0 for due in dues)

    @invariant()
    def the_one_that_was_named_last_goes_first(self):
        if getattr(self, "world", None) is not None:
            readers = [self.world.schemas.get(KEY, self.world.now), *self.world.schemas.others(KEY)]
            assert all(isinstance(each, Reader) for each in readers)
            assert len({each.fetched for each in readers}) == len(readers) == len(self.seen)

    def teardown(self):
        """In the end everything comes out, whatever happened."""
        world = self.world
        world.registry.error = None
        world.live(30.0)
        for each, text, _ in self.waiting.values():
            assert world.read(each) in (("event",) if text in self.seen or text == world.registry.names[KEY] else BADS)
        assert world.schemas.get(OTHER, world.now) is not None


BADS = ("not_avro", "left_over_bytes")
TestDoubtsMachine = DoubtsMachine.TestCase
TestDoubtsMachine.settings = settings(max_examples=100, stateful_step_count=40)
