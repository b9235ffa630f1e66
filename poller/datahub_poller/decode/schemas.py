"""Which writer schemas are here, which are on their way, and which do not exist.

Owned by the poll thread and not thread-safe: fetches run elsewhere, their outcomes come back by `arrived`.
It must never take "the registry is away", or "this is the wrong registry", for "these bytes are bad".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.errors import Poison, SchemaNotFound, Transient
from datahub_poller.model import Failure, SchemaKey, Waiting

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
    """A fetch's ticket. A `control` asks again for a schema that is here, to see whether the registry is sane."""

    key: SchemaKey
    control: bool


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


@dataclass(slots=True)
class _Missing:
    """A schema asked for. `denied` counts the seconds over which the registry kept answering "not found"."""

    since: float
    due: float
    reason: str = "asked for"
    tries: int = 0
    asking: bool = False
    denied: float = 0.0
    last_denial: float | None = None  # None as well after an answer that was no answer


class Schemas:
    """Readers by schema key. Times are monotonic seconds.

    An id that the registry does not know is given up when it has said so over `patience` seconds, and has in the
    last stretch of them answered for an id that is known to be good. Time in which it gave no answer does not count.
    What was given up is remembered for `negative_ttl`. A fetch that fails otherwise is tried again without end,
    after `retry` seconds, then twice that and so on up to ten.
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
        self._readers: dict[SchemaKey, Reader] = {}
        self._missing: dict[SchemaKey, _Missing] = {}
        self._refused: dict[SchemaKey, tuple[float, Failure]] = {}
        self._known_at: dict[str, float] = {}  # when each registry last answered for a schema that it has
        self._controls: set[str] = set()

    def get(self, key: SchemaKey, now: float) -> Reader | Failure | None:
        """The reader; why there will be none; or None: it was asked for and is not here yet."""
        reader = self._readers.get(key)
        if reader is not None:
            return reader
        refused = self._refused.get(key)
        if refused is not None:
            until, failure = refused
            if now < until:
                return failure
            del self._refused[key]
        if key not in self._missing:
            self._missing[key] = _Missing(since=now, due=now)
            self._ask(key, self._missing[key])
        return None

    def arrived(self, done: Answer, now: float) -> None:
        """Take a fetch's outcome in."""
        fetch: Fetch = done.ticket
        self.failures += done.error is not None
        if fetch.control:
            self._control_arrived(fetch.key, done.error, now)
            return
        missing = self._missing.get(fetch.key)
        if missing is None:
            return
        missing.asking = False
        match done.error:
            case None:
                self._known_at[fetch.key.registry] = now
                self._readers[fetch.key] = done.value
                self.read_slowly += not done.value.generated
                del self._missing[fetch.key]
            case Poison() as poison:
                self._refuse(fetch.key, poison, now)
            case SchemaNotFound() as error:
                self._denied(fetch.key, missing, str(error), now)
            case error:
                missing.last_denial = None
                self._again(missing, _reason(error), now)

    def tick(self, now: float) -> None:
        """Start the fetches that are due again, and forget refusals that are over."""
        for key, missing in self._missing.items():
            if not missing.asking and missing.due <= now:
                self._ask(key, missing)
        for key in [key for key, (until, _) in self._refused.items() if until <= now]:
            del self._refused[key]

    def ask_again(self, now: float) -> int:
        """Ask for whatever is waited for at the next tick; of how many schemas that is."""
        waiting = [missing for missing in self._missing.values() if not missing.asking and missing.due > now]
        for missing in waiting:
            missing.due = now
        return len(waiting)

    def fetching(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._controls) or any(missing.asking for missing in self._missing.values())

    def waiting(self) -> dict[SchemaKey, Waiting]:
        """Every schema that is not here, and why."""
        return {key: Waiting(each.since, each.reason, each.tries) for key, each in self._missing.items()}

    def _ask(self, key: SchemaKey, missing: _Missing) -> None:
        missing.asking = True
        missing.tries += 1
        self.fetches += 1
        registry = self._registries[key.registry]
        self._submit(Fetch(key, control=False), lambda: Reader(registry.fetch(key)))

    def _again(self, missing: _Missing, reason: str, now: float) -> None:
        missing.reason = reason
        missing.due = now + min(self._retry * 2.0 ** min(missing.tries - 1, 16), LONGEST_RETRY)

    def _denied(self, key: SchemaKey, missing: _Missing, reason: str, now: float) -> None:
        before, missing.last_denial = missing.last_denial, now
        confirmed = False
        if before is not None:
            missing.denied += now - before
            confirmed = self._known_at.get(key.registry, float("-inf")) >= before
        if confirmed and missing.denied >= self._patience:
            why = f"{key} is unknown: {reason}, over {missing.denied:.0f} s in which it answered for another id"
            self._refuse(key, Poison("unknown_schema_id", why), now)
            return
        self._again(missing, reason, now)
        if missing.denied < self._patience:
            missing.due = min(missing.due, now + self._patience - missing.denied)
        self._ask_control(key.registry)

    def _refuse(self, key: SchemaKey, poison: Poison, now: float) -> None:
        self._refused[key] = (now + self._negative_ttl, Failure("decode", poison.kind, str(poison)))
        del self._missing[key]

    def _ask_control(self, name: RegistryName) -> None:
        good = next((key for key in reversed(self._readers) if key.registry == name), None)
        if good is None or name in self._controls:
            return
        self._controls.add(name)
        self.fetches += 1
        registry = self._registries[name]
        self._submit(Fetch(good, control=True), lambda: Reader(registry.ask_again(good)))

    def _control_arrived(self, key: SchemaKey, error: BaseException | None, now: float) -> None:
        self._controls.discard(key.registry)
        match error:
            case None:
                self._known_at[key.registry] = now
            case SchemaNotFound():  # it has forgotten what it knew: its "not found" means nothing
                self._known_at.pop(key.registry, None)
            case _:
                return


def _reason(error: BaseException | None) -> str:
    return str(error) if isinstance(error, Transient) else f"{type(error).__name__}: {error}"
