"""Which writer schemas are here, which are on their way, and which do not exist.

Owned by the poll thread and not thread-safe: fetches run elsewhere, their outcomes come back by `arrived`.
It must never take "the registry is away", or "this is the wrong registry", for "these bytes are bad".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from datahub_poller.decode.changes import change_of
from datahub_poller.decode.doubts import ASKED_ANEW, Doubt, Question, named_last
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import Failure, SchemaChange, SchemaKey, Waiting

RegistryName = Literal["confluent", "glue"]

LONGEST_RETRY = 10.0


class Registry(Protocol):
    """Where writer schemas are kept. Blocking, and safe to call from several threads at once."""

    def fetch(self, key: SchemaKey) -> FetchedSchema:
        """Raises SchemaNotFound, Transient, or Poison for a schema that is no Avro."""

    def ask_again(self, key: SchemaKey) -> FetchedSchema:
        """The same question, put to the registry itself whatever a client remembers."""

    def reach(self) -> str:
        """Ask for a schema that does not exist: a word for people if there is a registry. Raises Transient."""

    def prepare(self) -> None:
        """Import what a question needs, and ask nothing. What it raises, a question would raise again."""


class Fetch(NamedTuple):
    """A fetch's ticket. A `control` asks again for a schema that is here, to see whether the registry is sane.

    A `doubt` asks again because bytes did not fit what is here.
    """

    key: SchemaKey
    control: bool
    doubt: bool = False


class Answer(Protocol):
    """What comes back from a fetch: a reader, or the error that was raised."""

    @property
    def ticket(self) -> Any:
        """The Fetch it was submitted with."""

    @property
    def value(self) -> Any:
        """A Reader, if there is no error."""

    @property
    def error(self) -> BaseException | None:
        """Why there is no reader."""


class Schemas:
    """Readers by schema key. Times are monotonic seconds.

    An id that the registry does not know is given up when it has said so over `patience` seconds, and has in the
    last stretch of them answered for an id that is known to be good. Time in which it gave no answer does not count.
    What was given up is remembered for `negative_ttl`. A fetch that fails otherwise is tried again without end,
    after `retry` seconds, then twice that and so on up to ten.

    An id may come to name another schema. All that were seen are kept, the one that the registry named last first.
    """

    def __init__(
        self,
        registries: Mapping[RegistryName, Registry],
        submit: Callable[[Fetch, Callable[[], Reader]], None],
        patience: float = 30.0,
        retry: float = 2.0,
        negative_ttl: float = 300.0,
    ) -> None:
        self._registries = registries
        self._submit = submit
        self._patience = patience
        self._retry = retry
        self._negative_ttl = negative_ttl
        self.read_slowly = 0
        """How many schemas are beyond the generator of readers, and read by fastavro."""
        self.fetches = 0
        """How often a registry was asked."""
        self.failures = 0
        """How often it did not answer with the schema."""
        self.changes = 0
        """How often an id was found to name another schema."""
        self._readers: dict[SchemaKey, tuple[Reader, ...]] = {}
        self._missing: dict[SchemaKey, Question] = {}
        self._doubts: dict[SchemaKey, Doubt] = {}
        self._refused: dict[SchemaKey, tuple[float, Failure]] = {}
        self._known_at: dict[str, float] = {}  # when each registry last answered for a schema that it has
        self._controls: set[str] = set()

    def get(self, key: SchemaKey, now: float) -> Reader | Failure | None:
        """The reader; why there will be none; or None: it was asked for and is not here yet."""
        readers = self._readers.get(key)
        if readers is not None:
            return readers[0]
        refused = self._refused.get(key)
        if refused is not None:
            until, failure = refused
            if now < until:
                return failure
            del self._refused[key]
        if key not in self._missing:
            self._missing[key] = Question(since=now, due=now)
            self._ask(key, self._missing[key])
        return None

    def others(self, key: SchemaKey) -> tuple[Reader, ...]:
        """What the id named before, the latest seen first."""
        return self._readers[key][1:]

    def doubt(self, key: SchemaKey, now: float) -> int:
        """Bytes fit none of the id's schemas: the number of the question that settles them, put at the next tick."""
        return self._doubts.setdefault(key, Doubt()).raised(now)

    def settled(self, key: SchemaKey, number: int) -> bool:
        """Whether that question, or one after it, is answered."""
        doubt = self._doubts.get(key)
        return doubt is not None and doubt.settled >= number

    def arrived(self, done: Answer, now: float) -> SchemaChange | None:
        """Take a fetch's outcome in. The answer: the id names another schema than before."""
        fetch: Fetch = done.ticket
        self.failures += done.error is not None
        if fetch.control:
            return self._control_arrived(fetch.key, done, now)
        if fetch.doubt:
            return self._doubt_arrived(fetch.key, self._doubts[fetch.key], done, now)
        if (missing := self._missing.get(fetch.key)) is not None:
            missing.asking = False
            self._missing_arrived(fetch, missing, done, now)
        return None

    def _missing_arrived(self, fetch: Fetch, missing: Question, done: Answer, now: float) -> None:
        match done.error:
            case None:
                self._known_at[fetch.key.registry] = now
                self._readers[fetch.key] = (done.value,)
                self.read_slowly += not done.value.generated
                del self._missing[fetch.key]
            case Poison() as poison:
                self._refuse(fetch.key, poison, now)
            case SchemaNotFound() as error:
                if self._denied(fetch.key, missing, str(error), now):
                    over = f"over {missing.denied:.0f} s in which it answered for another id"
                    poison = Poison("unknown_schema_id", f"{fetch.key} is unknown: {error}, {over}")
                    self._refuse(fetch.key, poison, now)
            case error:
                missing.last_denial = None
                self._again(missing, _reason(error), now)

    def _doubt_arrived(self, key: SchemaKey, doubt: Doubt, done: Answer, now: float) -> SchemaChange | None:
        question = doubt.question
        assert question is not None
        question.asking = False
        match done.error:
            case None:
                self._known_at[key.registry] = now
                doubt.answered(now)
                return self._named(key, done.value)
            case Poison():  # what the id names now reads nothing
                doubt.answered(now)
            case SchemaNotFound() as error:
                if self._denied(key, question, f"{error}; {ASKED_ANEW}", now):
                    doubt.answered(now)
            case error:
                question.last_denial = None
                self._again(question, f"{_reason(error)}; {ASKED_ANEW}", now)
        return None

    def _named(self, key: SchemaKey, reader: Reader) -> SchemaChange | None:
        """The registry names this schema for an id that is known."""
        known = self._readers[key]
        self._readers[key] = named_last(reader, known)
        if reader.fetched == known[0].fetched:
            return None
        self.changes += 1
        self.read_slowly += not reader.generated and all(each.fetched != reader.fetched for each in known)
        return change_of(key, known[0], reader)

    def tick(self, now: float) -> None:
        """Start the fetches that are due again, and forget refusals that are over."""
        for key, missing in self._missing.items():
            if not missing.asking and missing.due <= now:
                self._ask(key, missing)
        for key, doubt in self._doubts.items():
            if doubt.question is not None and not doubt.question.asking and doubt.question.due <= now:
                self._ask_anew(key, doubt, doubt.question, now)
        for key in [key for key, (until, _) in self._refused.items() if until <= now]:
            del self._refused[key]

    def ask_again(self, now: float) -> int:
        """Ask for whatever is waited for at the next tick; of how many schemas that is."""
        away = [question for question in self._doubted().values() if question.tries]
        waiting = [each for each in [*self._missing.values(), *away] if not each.asking and each.due > now]
        for missing in waiting:
            missing.due = now
        return len(waiting)

    def fetching(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._controls) or any(missing.asking for missing in self._missing.values())

    def doubting(self) -> bool:
        """Whether an answer about an id in doubt is to be expected soon."""
        return any(question.asking or not question.tries for question in self._doubted().values())

    def waiting(self) -> dict[SchemaKey, Waiting]:
        """Every schema that is not here or in doubt, and why."""
        questions = self._missing | self._doubted()
        return {key: Waiting(each.since, each.reason, each.tries) for key, each in questions.items()}

    def _doubted(self) -> dict[SchemaKey, Question]:
        return {key: doubt.question for key, doubt in self._doubts.items() if doubt.question is not None}

    def _ask(self, key: SchemaKey, missing: Question) -> None:
        missing.asking = True
        missing.tries += 1
        self.fetches += 1
        registry = self._registries[key.registry]
        self._submit(Fetch(key, control=False), lambda: Reader(registry.fetch(key)))

    def _ask_anew(self, key: SchemaKey, doubt: Doubt, question: Question, now: float) -> None:
        doubt.put(now)
        question.asking = True
        question.tries += 1
        self.fetches += 1
        self._submit(Fetch(key, control=False, doubt=True), self._asked_anew(key))

    def _asked_anew(self, key: SchemaKey) -> Callable[[], Reader]:
        return partial(_read_anew, self._registries[key.registry], key, self._readers[key])

    def _again(self, missing: Question, reason: str, now: float) -> None:
        missing.reason = reason
        missing.due = now + min(self._retry * 2.0 ** min(missing.tries - 1, 16), LONGEST_RETRY)

    def _denied(self, key: SchemaKey, missing: Question, reason: str, now: float) -> bool:
        """It is not found: whether that is to be believed by now. If not, it is asked again."""
        before, missing.last_denial = missing.last_denial, now
        confirmed = False
        if before is not None:
            missing.denied += now - before
            confirmed = self._known_at.get(key.registry, float("-inf")) >= before
        if confirmed and missing.denied >= self._patience:
            return True
        self._again(missing, reason, now)
        if missing.denied < self._patience:
            missing.due = min(missing.due, now + self._patience - missing.denied)
        self._ask_control(key)
        return False

    def _refuse(self, key: SchemaKey, poison: Poison, now: float) -> None:
        self._refused[key] = (now + self._negative_ttl, Failure("decode", poison.kind, str(poison)))
        del self._missing[key]

    def _ask_control(self, lost: SchemaKey) -> None:
        name = lost.registry
        good = next((key for key in reversed(self._readers) if key.registry == name and key != lost), None)
        if good is None or name in self._controls:
            return
        self._controls.add(name)
        self.fetches += 1
        self._submit(Fetch(good, control=True), self._asked_anew(good))

    def _control_arrived(self, key: SchemaKey, done: Answer, now: float) -> SchemaChange | None:
        self._controls.discard(key.registry)
        match done.error:
            case None:
                self._known_at[key.registry] = now
                return self._named(key, done.value)
            case SchemaNotFound():  # it has forgotten what it knew: its "not found" means nothing
                self._known_at.pop(key.registry, None)
        return None


def _read_anew(registry: Registry, key: SchemaKey, known: tuple[Reader, ...]) -> Reader:
    """What the id names now: a reader is made only for what was not seen before."""
    fetched = registry.ask_again(key)
    found = next((each for each in known if each.fetched == fetched), None)
    return Reader(fetched) if found is None else found


def _reason(error: BaseException | None) -> str:
    return str(error) if isinstance(error, Transient) else f"{type(error).__name__}: {error}"
