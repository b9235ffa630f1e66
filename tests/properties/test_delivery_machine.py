"""The promises of delivery, over any order of records, results, commits, rebalances and an operator's orders.

The machine plays Kafka, the handler, the sink and the registry around the pure core; it keeps an account of its own
of what was delivered, lettered or skipped, and compares after every move.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from datahub_poller.batching import Limits
from datahub_poller.dispatch import Dispatch
from datahub_poller.ledger import Ledger, Settings
from datahub_poller.model import Event, Failure, SchemaKey, Skipped, TopicPartition
from datahub_poller.obeying import Obeying
from datahub_poller.orders import BreakerClose, GiveUp, Order, Pause, Resume, RetryNow, Scope
from datahub_poller.policy import Breaker, Policy
from datahub_poller.results import Results
from datahub_poller.works import Away, Delivered, Failed, Invoke, Named, WriteLetters
from support.effort import effort
from support.values import KINDS, kind_of, record_of, schema_of, value_of, verdict_of

TPS = [TopicPartition("mcl", 0), TopicPartition("mcl", 1), TopicPartition("pe", 0)]
HEALTHY = TopicPartition("pe", 1)
KEYS = [SchemaKey("confluent", 1), SchemaKey("confluent", 2)]
POLL_RECORDS = 6
LARGEST = 40

kinds = st.sampled_from((*KINDS, "good", "good", "good", "poison"))
fresh_records = st.lists(
    st.tuples(st.integers(0, 2), kinds, st.sampled_from((None, None, None, 1, 2)), st.sampled_from((0, 0, LARGEST))),
    min_size=1,
    max_size=POLL_RECORDS,
)


class Call(NamedTuple):
    work: Invoke | WriteLetters
    places: frozenset


def contents(entries):
    return [(e.offset, e.end, e.done, e.size, type(e.verdict).__name__) for e in entries]


def state_of(lane):
    """All of a lane that a result might change, but for what tells that it may go on."""
    part = lane.part
    return (
        id(lane.lease),
        lane.settled,
        lane.committed,
        lane.received,
        contents(lane.pending),
        lane.flight,
        lane.draining,
        lane.bytes,
        lane.awaiting,
        lane.last_failure,
        lane.trouble,
        lane.since,
        part
        and (
            contents(part.entries),
            [(contents(p.entries), p.attempts, p.splitting, p.due, p.waits) for p in part.todo],
            [(d.entry.offset, d.failure, d.attempts, d.batch_id) for d in part.doomed],
            (part.size, part.witness, part.succeeded, part.held, part.judged, part.letters_due, part.letter_tries),
        ),
    )


def state_of_all(ledger):
    breaker = {name: value for name, value in vars(ledger.breaker).items() if name not in ("probing", "probe_at")}
    counters = {name: count for name, count in ledger.counters.items() if name != "late_results"}
    return {tp: state_of(lane) for tp, lane in ledger.lanes.items()}, breaker, ledger.halt, ledger.stopping, counters


class Delivery(RuleBasedStateMachine):
    """`honest`: the handler fails on poison and on nothing else."""

    honest = True
    orders = ("failed_only",)
    bisects = (True,)
    throw = False
    in_a_row = (0,)
    buffer = 600
    ages = (math.inf,)
    rates = (None,)
    fatal = False

    @initialize(data=st.data())
    def begin(self, data):
        policy = Policy(
            attempts=data.draw(st.integers(1, 3)),
            backoff=1.0,
            max_backoff=4.0,
            bisect=data.draw(st.sampled_from(self.bisects)),
            order=data.draw(st.sampled_from(self.orders)),
            max_age=data.draw(st.sampled_from(self.ages)),
            fatal=frozenset({"Hopeless"}),
        )
        limits = Limits(size=data.draw(st.integers(1, 8)), window=0.5, bytes=data.draw(st.sampled_from((60, 10_000))))
        self.settings = Settings(
            policy,
            limits,
            concurrency=data.draw(st.integers(1, 2)),
            buffer=self.buffer,
            throw=self.throw,
            timeout=5.0,
            rate=data.draw(st.sampled_from(self.rates)),
        )
        self.next_start = 0.0
        self.failed_for_good = set()
        self.now = 1000.0
        self.known = set()
        chances = random.Random(data.draw(st.integers(0, 3)))
        self.breaker = Breaker(data.draw(st.sampled_from(self.in_a_row)), 10.0)
        self.ledger = Ledger(self.settings, self.breaker, lambda record: verdict_of(record, self.known))
        ids = iter(range(10**9))
        self.dispatch = Dispatch(self.ledger, lambda: f"b{next(ids)}")
        self.results = Results(self.ledger, chances.random)
        self.obeying = Obeying(self.ledger, dict, lambda _now: 0)

        # Kafka's side.
        self.log = {tp: [] for tp in (*TPS, HEALTHY)}
        self.end = dict.fromkeys(self.log, 0)
        self.broker = {}
        self.position = dict.fromkeys(self.log, 0)
        # The account: under the lease held now, and in all.
        self.leases = {}
        self.start = {}
        self.settled = {}
        self.done = defaultdict(set)
        self.taken = defaultdict(dict)
        self.handed = defaultdict(list)
        self.failures = Counter()
        self.delivered = set()
        self.lettered = set()
        self.ordered = set()
        self.ordered_ever = set()
        self.calls = {}
        # The breaker's account.
        self.moment = 0
        self.last_success = 0
        self.last_decoded = 0
        self.first_failed = {}
        self.letters_in_row = []

    # -- Kafka

    @rule(which=st.integers(0, 2), records=fresh_records)
    def records_come(self, which, records):
        """The usual turn of the loop: written, read and handed out."""
        self.append(which, records)
        self._assign(TPS[which])
        self._read(TPS[which], POLL_RECORDS)
        self._turn()

    def append(self, which, records):
        self._append(TPS[which], records)

    def _append(self, tp, records):
        for gap, drawn, key, size in records:
            offset = self.end[tp] + gap
            # With THROW, if all were drawn alike, every run would end at once.
            kind = "good" if self.throw and offset % 6 and drawn in ("poison", "junk") else drawn
            self.log[tp].append(record_of(tp, offset, value_of(kind, key, size)))
            self.end[tp] = offset + 1

    def append_control_records(self, which, gap):
        self.end[TPS[which]] += gap

    def assign(self, which):
        self._assign(TPS[which])

    def _assign(self, tp):
        if tp in self.ledger.lanes:
            return
        committed = self.broker.get(tp)
        start = 0 if committed is None else committed
        self.ledger.open(tp, start, committed, self.now)
        self.leases[tp] = self.ledger.lanes[tp].lease
        self.start[tp] = self.settled[tp] = self.position[tp] = start
        self.done[tp], self.taken[tp], self.handed[tp] = set(), {}, []
        self.failures = Counter({place: n for place, n in self.failures.items() if place[0] != tp})
        self.ordered = {place for place in self.ordered if place[0] != tp}

    @rule(which=st.integers(0, 2), count=st.integers(1, POLL_RECORDS))
    def read(self, which, count):
        self._read(TPS[which], count)

    def _read(self, tp, count):
        if tp not in self.ledger.lanes or tp in self.ledger.paused(self.now, fetching=False):
            return 0
        found = [record for record in self.log[tp] if record.offset >= self.position[tp]][:count]
        for record in found:
            verdict = verdict_of(record, self.known)
            self.position[tp] = record.offset + 1
            self.taken[tp][record.offset] = record
            if isinstance(verdict, Skipped):
                self.done[tp].add(record.offset)
            if isinstance(verdict, Event):
                self._decoded()
            self.ledger.take_in([record], lambda _record, _now, verdict=verdict: verdict, self.now)
        return len(found)

    def read_again_what_was_read(self, which):
        tp = TPS[which]
        for record in list(self.taken[tp].values())[-3:] if tp in self.ledger.lanes else ():
            self.ledger.take_in([record], lambda given, _now: verdict_of(given, self.known), self.now)

    def read_a_record_of_another_member(self, which):
        tp = TPS[which]
        if tp not in self.ledger.lanes:
            record = record_of(tp, self.end[tp], value_of("good"))
            self.ledger.take_in([record], lambda given, _now: verdict_of(given, self.known), self.now)
            assert tp not in self.ledger.lanes

    def be_quiet(self):
        """Control records at the end are passed."""
        for tp, lane in self.ledger.lanes.items():
            if lane.idle and not [r for r in self.log[tp] if r.offset >= self.position[tp]]:
                self.position[tp] = self.end[tp]
                lane.skip_to(self.end[tp])

    def commit(self, which):
        lane = self.ledger.lanes.get(TPS[which])
        if lane is not None:
            assert lane.settled >= self.broker.get(lane.tp, 0)
            self.broker[lane.tp] = lane.committed = lane.settled

    def drain(self, which):
        self.ledger.drain([TPS[which]])

    def revoke(self, which):
        self.ledger.drain([TPS[which]])
        self.commit(which)
        self.lose(which)

    def lose(self, which):
        tp = TPS[which]
        self.ledger.close([tp])
        self.leases.pop(tp, None)

    @rule(
        which=st.integers(0, 2),
        how=st.sampled_from(("assign", "drain", "revoke", "lose", "revoke and assign", "lose and assign")),
    )
    def rebalance(self, which, how):
        if how in ("drain", "revoke", "lose"):
            {"drain": self.drain, "revoke": self.revoke, "lose": self.lose}[how](which)
        if how.startswith(("revoke and", "lose and")):
            self.revoke(which) if how.startswith("revoke") else self.lose(which)
        if how.endswith("assign"):
            self.assign(which)
            self._read(TPS[which], POLL_RECORDS)
            self._turn()

    @rule(
        which=st.integers(0, 2),
        how=st.sampled_from(("append", "control records", "quiet", "commit", "read again", "read of another")),
        records=fresh_records,
    )
    def meanwhile(self, which, how, records):
        match how:
            case "append":
                self.append(which, records)
            case "control records":
                self.append_control_records(which, len(records))
            case "quiet":
                self.be_quiet()
            case "commit":
                self.commit(which)
            case "read again":
                self.read_again_what_was_read(which)
            case "read of another":
                self.read_a_record_of_another_member(which)

    # -- the registry

    @rule(which=st.integers(0, 1))
    def schema_arrives(self, which):
        self.known.add(KEYS[which])
        self._reread()

    def _reread(self):
        waited = [(tp, r) for tp in self.ledger.lanes for r in self.taken[tp].values() if self._waits_in(tp, r.offset)]
        self.ledger.reread()
        for tp, record in waited:
            verdict = verdict_of(record, self.known)
            if isinstance(verdict, Skipped):
                self.done[tp].add(record.offset)
            if isinstance(verdict, Event):
                self._decoded()

    def _waits_in(self, tp, offset):
        return any(e.offset == offset and type(e.verdict).__name__ == "Awaiting" for e in self.ledger.lanes[tp].pending)

    # -- a person

    @rule(
        which=st.integers(0, 2),
        pick=st.integers(0, 9),
        how=st.sampled_from(
            ("give up", "give up", "give up", "now", "pause", "pause all", "resume", "resume", "close")
        ),
    )
    def a_person_orders(self, which, pick, how):
        tp = TPS[which]
        match how:
            case "give up":
                self._give_up(tp, pick)
            case "now":
                self._order(RetryNow())
            case "pause":
                self._order(Pause(Scope(*tp)))
            case "pause all":
                self._order(Pause(Scope()))
            case "resume":
                self._order(Resume(Scope(*tp) if pick % 2 else Scope()))
            case "close":
                self._close()
        self._turn()

    def _order(self, what):
        before = state_of_all(self.ledger)
        settled = {tp: lane.settled for tp, lane in self.ledger.lanes.items()}
        answer = self.obeying.obey(Order(what, "op", "why"), self.now)
        assert answer.obeyed or state_of_all(self.ledger) == before, f"refused, and done: {answer.said}"
        assert settled == {tp: lane.settled for tp, lane in self.ledger.lanes.items()}, "an order settled something"
        return answer

    def _give_up(self, tp, pick):
        """Of what is not done, the pick-th; sometimes what nobody reads here."""
        open_ = [o for o in self.taken[tp] if o not in self.done[tp]] if tp in self.ledger.lanes else []
        offset = open_[pick % len(open_)] if open_ else pick
        look = self._order(GiveUp(tp, offset, look=True))
        answer = self._order(GiveUp(tp, offset))
        assert look.obeyed == answer.obeyed
        if not answer.obeyed:
            return
        assert offset in open_, "what is done was given up"
        assert (tp, offset) not in self.ordered, "given up twice"
        calls = [] if self.ledger.lanes[tp].blocked else self.calls.values()
        assert not any((tp, offset) in call.places for call in calls), "taken out of a running call"
        self.ordered.add((tp, offset))
        self.ordered_ever.add((tp, offset))
        assert not self._order(GiveUp(tp, offset)).obeyed

    def _close(self):
        was_open = self.breaker.is_open
        answer = self._order(BreakerClose())
        assert answer.obeyed == (was_open and self.ledger.halt is None)
        if answer.obeyed:
            assert not self.breaker.is_open
            assert not self.ledger.held()
            self.moment += 1
            self.last_success = self.moment
            self.letters_in_row = []

    # -- time and work

    @rule(seconds=st.sampled_from((0.01, 0.6, 5.0, 30.0)))
    def time_passes(self, seconds):
        self.now += seconds
        self.ledger.overdue(self.now)
        self._turn()

    def _turn(self):
        halted = self.ledger.halt is not None
        works = self.dispatch.next_works(self.now)
        assert not works or not (halted or self.ledger.halt), "a call is started although the run is halted"
        assert self.dispatch.next_works(self.now) == []
        for work in works:
            self._started(work)
        if self.breaker.is_open:
            self._held_back()
        running = sum(isinstance(call.work, Invoke) for call in self.calls.values())
        assert running <= self.settings.concurrency
        return works

    def _started(self, work):
        shares = work.shares if isinstance(work, Invoke) else ()
        leases = [share.lease for share in shares] if isinstance(work, Invoke) else [work.lease]
        mine = {lease.tp for lease in leases}
        assert len(mine) == len(leases)
        for lease in leases:
            assert self.leases.get(lease.tp) is lease, "a call under a lease that is not held"
            assert not self.ledger.lanes[lease.tp].draining
        for other in self.calls.values():
            assert not mine & {tp for tp, _ in other.places}, "two calls with records of one partition"
        if isinstance(work, Invoke):
            places = self._invoked(work)
        else:
            places = frozenset((work.lease.tp, doomed.entry.offset) for doomed in work.doomed)
            assert len(places) == len(work.doomed)
            self._letters(work)
        self.calls[work.flight] = Call(work, places)

    def _invoked(self, work):
        limits = self.settings.limits
        total = sum(len(share.piece.entries) for share in work.shares)
        if self.settings.rate is not None:
            assert self.now >= self.next_start, "handed out faster than the rate"
            self.next_start = self.now + total / self.settings.rate
        assert 1 <= total <= limits.size
        assert total == 1 or sum(e.size for s in work.shares for e in s.piece.entries) <= limits.bytes
        assert work.again == any(share.piece.attempts or share.piece.waits for share in work.shares) or self.in_a_row[0]
        for share in work.shares:
            tp = share.lease.tp
            assert self.ledger.lanes[tp].paused is None, "handed out although it is paused"
            offsets = [entry.offset for entry in share.piece.entries]
            assert offsets == sorted(offsets)
            for offset in offsets:
                assert offset not in self.done[tp], "handed out again although it is done"
                assert (tp, offset) not in self.ordered, "handed out although a person gave it up"
                assert isinstance(verdict_of(self.taken[tp][offset], self.known), Event)
                if offset not in self.handed[tp]:
                    assert not self.handed[tp] or offset > max(self.handed[tp]), "first handed out of order"
                    self.handed[tp].append(offset)
            # What comes before was handed out, or is no event.
            before = [
                record
                for offset, record in self.taken[tp].items()
                if offset < offsets[0] and offset not in self.handed[tp] and (tp, offset) not in self.ordered
            ]
            assert all(kind_of(record) not in ("good", "poison") for record in before)
        return frozenset((s.lease.tp, e.offset) for s in work.shares for e in s.piece.entries)

    def _letters(self, work):
        policy = self.settings.policy
        for doomed in work.doomed:
            place = work.lease.tp, doomed.entry.offset
            assert (doomed.failure.stage == "operator") == (place in self.ordered)
            assert doomed.final or not self.throw, "a letter although failure_mode is THROW"
            if place in self.ordered:
                assert doomed.failure.message.startswith("op: why")
                assert len(doomed.history) == doomed.attempts == self.failures[place] or self.in_a_row[0]
            elif kind_of(doomed.entry.record) == "junk":
                assert doomed.failure.stage == "decode"
                assert doomed.attempts == 0
            else:
                assert doomed.failure.stage == "handler"
                if place not in self.failed_for_good and policy.max_age == math.inf:
                    assert doomed.attempts >= policy.attempts, "given up before its attempts were used up"
                    assert self.failures[place] >= policy.attempts
                assert len(doomed.history) == doomed.attempts
                assert doomed.attempts == 0 or doomed.history[-1].batch_id == doomed.batch_id
                if self.honest and policy.bisect:
                    assert kind_of(doomed.entry.record) == "poison"
        if self.in_a_row[0]:
            self._in_a_row(work)

    # -- what comes back

    @precondition(lambda self: self.calls)
    @rule(
        which=st.integers(0, 5),
        how=st.sampled_from(("answer", "answer", "name", "away", "ok", "raise")),
        mask=st.integers(0, 255),
        turn=st.booleans(),
    )
    def call_returns(self, which, how, mask, turn):
        flight = sorted(self.calls)[which % len(self.calls)]
        self._returns(flight, how, mask)
        if turn:
            self._turn()

    def _returns(self, flight, how, mask):
        call = self.calls.pop(flight)
        leases = [s.lease for s in call.work.shares] if isinstance(call.work, Invoke) else [call.work.lease]
        held = {lease.tp for lease in leases if self.leases.get(lease.tp) is lease}
        outcome = self._outcome(call, how, mask)
        before = state_of_all(self.ledger)
        attempts = self._attempts(call)
        self.results.returned(flight, outcome, self.now)
        if not held:
            assert state_of_all(self.ledger) == before, "a result that came too late changed something"
        if isinstance(outcome, Away):
            assert self._attempts(call) == attempts, "infrastructure used an attempt"
            assert {tp: lane.settled for tp, lane in self.ledger.lanes.items()} == self.settled_now(before)
        self._enter(call, outcome, held)

    @staticmethod
    def settled_now(state):
        return {tp: lane[1] for tp, lane in state[0].items()}

    @staticmethod
    def _attempts(call):
        return [s.piece.attempts for s in call.work.shares] if isinstance(call.work, Invoke) else []

    def _outcome(self, call, how, mask):
        if how == "away":
            return Away("not reachable")
        if isinstance(call.work, WriteLetters):
            return Delivered()
        records = {(e.record.tp, e.offset): e.record for s in call.work.shares for e in s.piece.entries}
        if self.honest or how == "answer":
            bad = {place for place, record in records.items() if kind_of(record) == "poison"}
        else:
            bad = {place for n, place in enumerate(sorted(records)) if mask >> (n % 8) & 1} if how == "name" else set()
            if how == "raise":
                bad = set(records)
        if not bad:
            return Delivered()
        if how == "name":
            return Named(frozenset(bad))
        hopeless = self.fatal and mask % 3 == 0
        lineage = ("mine.Error", "Hopeless") if hopeless else ("ValueError",)
        return Failed(Failure("handler", "ValueError", "no"), lineage)

    def _enter(self, call, outcome, held):
        """In the machine's own account."""
        self.moment += 1
        if isinstance(call.work, WriteLetters):
            if isinstance(outcome, Delivered):
                for tp, offset in call.places:
                    self.lettered.add((tp, offset))
                    if tp in held:
                        self.done[tp].add(offset)
            return
        blamed = frozenset()
        match outcome:
            case Delivered():
                good, bad = call.places, frozenset()
            case Named(failed=named):
                bad = blamed = named
                if self.settings.policy.order == "strict":
                    bad = frozenset(p for p in call.places if any(p[0] == tp and p[1] >= o for tp, o in named))
                good = call.places - bad
            case Failed(lineage=lineage):
                good, bad = frozenset(), call.places
                blamed = bad
                if "Hopeless" in lineage:
                    self.failed_for_good |= bad
            case Away():
                good = bad = frozenset()
        self.delivered |= good
        if held and (isinstance(outcome, Delivered) or (isinstance(outcome, Named) and outcome.failed != call.places)):
            self.last_success = self.moment
            self.letters_in_row = []
        for tp, offset in good:
            if tp in held:
                self.done[tp].add(offset)
        for tp, offset in bad:
            if tp in held:
                # What is tried again only because it stands behind a failed record has not failed.
                self.failures[tp, offset] += (tp, offset) in blamed
                self.first_failed.setdefault((tp, offset), self.moment)
        self._attempts_are_bounded(call, held)

    def _attempts_are_bounded(self, call, held):
        if self.in_a_row[0]:
            return  # an open breaker tries anew what it holds
        policy = self.settings.policy
        levels = math.ceil(math.log2(self.settings.limits.size)) if policy.bisect else 0
        alone = 1 if policy.attempts == 1 else 0  # what failed in company is tried by itself
        for tp, offset in call.places:
            if tp in held:
                assert self.failures[tp, offset] <= policy.attempts + alone + levels

    # -- the breaker's account

    def _held_back(self):
        """What an open breaker may have opened for counts as failed from now on."""
        self.moment += 1
        for tp, lane in self.ledger.lanes.items():
            if lane.pending and kind_of(lane.pending[0].record) == "junk":
                self.first_failed.setdefault((tp, lane.pending[0].offset), self.moment)

    def _decoded(self):
        self.moment += 1
        self.last_decoded = self.moment

    def _in_a_row(self, work):
        """Letters of records that never failed before the last success are fewer than the limit, counted from it."""
        self.moment += 1
        for doomed in work.doomed:
            if doomed.final:
                continue
            place = work.lease.tp, doomed.entry.offset
            junk = kind_of(doomed.entry.record) == "junk"
            failed = self.first_failed.get(place, self.moment)
            if failed > self.last_success and place not in {p for p, _, _ in self.letters_in_row}:
                self.letters_in_row.append((place, junk, self.moment))
        row = [p for p, junk, at in self.letters_in_row if not junk or at > self.last_decoded]
        assert len(row) < self.breaker.in_a_row, f"{row} were written in a row"

    # -- what always holds

    @invariant()
    def settled_passes_nothing_that_is_not_done(self):
        for tp, lane in self.lanes():
            assert lane.settled >= self.settled[tp], "settled went back"
            self.settled[tp] = lane.settled
            assert lane.settled <= self.end[tp]
            due = [r.offset for r in self.log[tp] if self.start[tp] <= r.offset < lane.settled]
            assert all(offset in self.done[tp] for offset in due), (tp, lane.settled, due, self.done[tp])

    @invariant()
    def settled_stays_behind_nothing_that_is_done(self):
        for tp, lane in self.lanes():
            open_ = [o for o in self.taken[tp] if o not in self.done[tp]]
            first = min(open_, default=None)
            if first is None:
                assert lane.settled >= max(self.taken[tp], default=-1) + 1
                assert lane.idle
            else:
                assert all(o < lane.settled for o in self.taken[tp] if o < first)

    @invariant()
    def committed_is_never_ahead_of_settled(self):
        for _, lane in self.lanes():
            assert lane.committed is None or lane.committed <= lane.settled

    @invariant()
    def bytes_are_those_of_what_is_held(self):
        for tp, lane in self.lanes():
            held = list(lane.pending) + ([] if lane.part is None else list(lane.part.entries))
            assert lane.bytes == sum(e.record.size for e in held)
            assert lane.records == len(held)
            offsets = [e.offset for e in held]
            assert offsets == sorted(offsets) or lane.part is not None
            skipped = {o for o in self.done[tp] if kind_of(self.taken[tp][o]) in ("drop", "tombstone")}
            assert sorted(offsets) == [o for o in self.taken[tp] if o >= lane.settled and o not in skipped]
            assert lane.awaiting == sum(type(e.verdict).__name__ == "Awaiting" for e in lane.pending)

    @invariant()
    def memory_is_bounded(self):
        assert self.held() <= self.buffer + POLL_RECORDS * LARGEST
        if self.held() >= self.buffer:
            assert self.ledger.paused(self.now, fetching=False) == set(self.ledger.lanes)

    @invariant()
    def the_halt_settles_nothing_at_or_past_the_failed_record(self):
        if not self.throw:
            assert getattr(self, "ledger", None) is None or self.ledger.halt is None
        elif getattr(self, "ledger", None) is not None and self.ledger.halt is not None:
            record = self.ledger.halt.record
            lane = self.ledger.lanes.get(record.tp)
            if lane is not None and record.offset >= self.start[record.tp]:
                assert lane.settled <= record.offset

    def lanes(self):
        return self.ledger.lanes.items() if hasattr(self, "ledger") else ()

    def held(self):
        return self.ledger.held_bytes() if hasattr(self, "ledger") else 0

    # -- once all is quiet and healthy

    def teardown(self):
        if not hasattr(self, "ledger"):
            return
        self.known |= set(KEYS)
        self._order(Resume(Scope()))
        self._reread()
        for tp, lane in list(self.ledger.lanes.items()):
            if lane.draining:
                self.ledger.close([tp])
                self.leases.pop(tp)
        for _ in range(5000):
            for tp in TPS:
                self._assign(tp)
            for flight in sorted(self.calls):
                self._returns(flight, "answer", 0)
            if self.ledger.halt is not None:
                self._after_halt()
                return
            moved = sum(self._read(tp, POLL_RECORDS) for tp in self.log)
            moved += len(self._turn())
            if self.ledger.halt is not None:
                continue
            self.be_quiet()
            self._check()
            if self._all_settled():
                break
            if not moved:
                self._wait_for_the_next()
        self._finally()

    def _wait_for_the_next(self):
        due = self.dispatch.next_due(self.now)
        assert due is not None or self.breaker.is_open, "nothing is due, and not all is settled"
        if due is None or due <= self.now:
            due = self.now + 1.0
        self.now = due
        if self.breaker.is_open and self.now >= self.breaker.probe_at:
            # Another partition is healthy.
            self._assign(HEALTHY)
            self._append(HEALTHY, [(0, "good", None, 0)])

    def _check(self):
        self.settled_passes_nothing_that_is_not_done()
        self.settled_stays_behind_nothing_that_is_done()
        self.bytes_are_those_of_what_is_held()
        self.memory_is_bounded()

    def _all_settled(self):
        return all(lane.settled == self.end[tp] for tp, lane in self.ledger.lanes.items()) and not self.calls

    def _after_halt(self):
        assert self._turn() == []
        self._check()
        self.the_halt_settles_nothing_at_or_past_the_failed_record()
        bad = {(tp, r.offset) for tp in self.log for r in self.log[tp] if kind_of(r) in ("poison", "junk")}
        record = self.ledger.halt.record
        if self.honest and self.settings.policy.bisect:
            assert (record.tp, record.offset) in bad
        assert self.lettered <= self.ordered_ever

    def _finally(self):
        assert self._all_settled(), {tp: (lane.settled, self.end[tp]) for tp, lane in self.ledger.lanes.items()}
        assert self.ledger.held_bytes() == 0
        assert self.ledger.paused(self.now, fetching=False) == frozenset()
        assert all(lane.idle for lane in self.ledger.lanes.values())
        events = {(tp, r.offset) for tp in self.log for r in self.log[tp] if kind_of(r) in ("good", "poison")}
        junk = {(tp, r.offset) for tp in self.log for r in self.log[tp] if kind_of(r) == "junk"}
        poison = {(tp, r.offset) for tp in self.log for r in self.log[tp] if kind_of(r) == "poison"}
        assert events <= self.delivered | self.lettered
        assert junk <= self.lettered
        if self.honest:
            assert poison <= self.lettered
            assert not poison & self.delivered
        if self.honest and self.settings.policy.bisect:
            assert self.lettered - self.ordered_ever == (poison | junk) - self.ordered_ever
        assert all(schema_of(r) is None or schema_of(r) in self.known for tp in self.log for r in self.log[tp])


class Moody(Delivery):
    """The handler and the sink answer anything."""

    honest = False
    orders = ("failed_only", "strict")
    bisects = (True, False)


class Strict(Delivery):
    """What a failed record's successors wait for."""

    orders = ("strict",)
    bisects = (True, False)


class Halting(Delivery):
    """`failure_mode: THROW`."""

    throw = True
    orders = ("failed_only", "strict")
    bisects = (True, False)


class Breaking(Delivery):
    """With a breaker, and a healthy partition beside the ill ones, which has room of its own in the buffer."""

    in_a_row = (1, 2, 3, 5)
    buffer = 6000


class MoodyBreaking(Delivery):
    """With a breaker, and answers of any kind."""

    honest = False
    orders = ("failed_only", "strict")
    in_a_row = (1, 2, 3, 5)
    buffer = 6000


class Impatient(Delivery):
    """Errors that are fatal, an age that is too old, a rate; a handler that fails on poison and on nothing else."""

    ages = (math.inf, 0.5, 4.0)
    rates = (None, 0.5, 10.0)
    fatal = True
    orders = ("failed_only", "strict")


class MoodyImpatient(Impatient):
    """The same with answers of any kind."""

    honest = False
    bisects = (True, False)


QUICK = effort(120, stateful_step_count=40)
TestHonest = Delivery.TestCase
TestHonest.settings = QUICK
TestMoody = Moody.TestCase
TestMoody.settings = QUICK
TestStrict = Strict.TestCase
TestStrict.settings = QUICK
TestHalting = Halting.TestCase
TestHalting.settings = QUICK
TestBreaking = Breaking.TestCase
TestBreaking.settings = QUICK
TestMoodyBreaking = MoodyBreaking.TestCase
TestMoodyBreaking.settings = QUICK
TestImpatient = Impatient.TestCase
TestImpatient.settings = QUICK
TestMoodyImpatient = MoodyImpatient.TestCase
TestMoodyImpatient.settings = QUICK
