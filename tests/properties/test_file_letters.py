"""Whatever pollers write, crash on, rotate and drop: the files hold what was acknowledged and not dropped, in order."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.file_store import FileStore
from datahub_poller.deadletter.letter import to_line
from datahub_poller.errors import Transient
from support.letter_stores import a_letter

LINE = len(to_line(a_letter(100)))
TORN = to_line(a_letter(1))


class Files(RuleBasedStateMachine):
    """`failed` and `undecodable`: the lines that must be there, in their order."""

    def __init__(self):
        super().__init__()
        self.held = tempfile.TemporaryDirectory()
        self.place = Path(self.held.name)
        self.store = FileStore(self.place, "tag-sync")
        self.failed, self.undecodable = [], []
        self.offset = 100
        self.now = 1_795_000_000.0

    def teardown(self):
        self.held.cleanup()

    def sink(self, rotate, limit=None):
        return FileSink(self.place, "tag-sync", rotate=rotate, limit=limit, wall=lambda: self.now)

    @rule(
        events=st.lists(st.booleans(), max_size=5),
        rotate=st.sampled_from([1, LINE, 3 * LINE, 10**9]),
        clock=st.floats(-5, 5),
    )
    def write(self, events, rotate, clock):
        self.now += clock
        letters = []
        for is_event in events:
            self.offset += 1
            letters.append(a_letter(self.offset) if is_event else a_letter(self.offset, event=None))
        self.sink(rotate).write(letters)
        self.failed += [to_line(each) for each in letters if each.envelope is not None]
        self.undecodable += [to_line(each) for each in letters if each.envelope is None]

    @rule(room=st.integers(0, 2 * LINE), rotate=st.sampled_from([LINE, 10**9]))
    def write_beyond_the_limit(self, room, rotate):
        held = sum(map(len, [*self.failed, *self.undecodable]))
        letters = [a_letter(self.offset + number) for number in range(1, 4)]
        try:
            self.sink(rotate, held + room).write(letters)
        except Transient:
            return
        raise AssertionError("three lines went where there was room for two at most")

    @rule(torn=st.integers(1, 60))
    def crash_in_a_write(self, torn):
        self.store.directory.mkdir(exist_ok=True)
        path = self.store.directory / "failed_events.log"
        before = path.read_bytes() if path.exists() else b""
        with path.open("ab") as file:
            file.write(b"\n" * (before[-1:] not in {b"", b"\n"}) + TORN[:torn])

    @rule(data=st.data())
    def drop(self, data):
        chosen = [each for each in self.store.scan() if self.is_ours(each.line) and data.draw(st.booleans())]
        assert self.store.remove(chosen) == len(chosen)
        gone = {each.line for each in chosen}
        self.failed = [line for line in self.failed if line not in gone]
        self.undecodable = [line for line in self.undecodable if line not in gone]

    def is_ours(self, line):
        return line in self.failed or line in self.undecodable

    @invariant()
    def all_is_there_in_order(self):
        found = [each.line for each in self.store.scan()]
        assert [line for line in found if line in self.failed] == self.failed
        assert [line for line in found if line in self.undecodable] == self.undecodable
        assert all(self.is_ours(line) or TORN.startswith(line.rstrip(b"\n")) for line in found)


Files.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestFiles = Files.TestCase
