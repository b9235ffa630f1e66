"""The traces and the faults, each the same for both products, at the same time.

Owns what is produced when, and what goes wrong. The events are made by DataHub's own classes, from a seed.
"""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from compare_loss.scene import Bytes, Played, Scene, Size, Stand
from datahub_poller.demo.samples import confluent_frame

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # DataHub's package warns of itself
    from support import datahub_events as made

KNOWN, NEW = 4, 5
"""Ids of one schema. NEW is first met during the outage, as after an upgrade of DataHub's server."""
START_SECONDS = 60.0
QUICK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """`fault` is what the table calls it. `seconds` and `kill_at` are what the action is to do; see `Scene`."""

    name: str
    fault: Callable[[Size], str]
    drive: Callable[[Scene], None]
    seconds: Callable[[Size], float] = lambda size: 0.0
    kill_at: Callable[[Size], int | None] = lambda size: None

    def play(self, stand: Stand) -> list[Played]:
        """Run the trace; what became of it, by product."""
        with Scene(stand, self.name, self.seconds(stand.size), self.kill_at(stand.size)) as scene:
            self.drive(scene)
            return scene.played()


def events(count: int, seed: int, schema: int = KNOWN) -> list[Bytes]:
    """Entity change events, framed as Confluent's serializer does."""
    return [(confluent_frame(schema, event.body), event.key) for event in made.entity_changes(count, seed)]


def outage(scene: Scene, status: int) -> None:
    """A quarter is read in peace; a new schema's records come during the outage; a tenth follows after it."""
    count = scene.size.events
    before, after = count // 4, count // 10
    upgraded = events(count - before - after, scene.seed + 1, NEW)
    last = scene.produce(events(before, scene.seed))
    for schema in (KNOWN, NEW):
        scene.registry.put(schema, made.schema_text("PlatformEvent"))
    scene.start()
    scene.until_done(last, START_SECONDS)
    with scene.registry_answers(status):
        scene.produce(upgraded)
        scene.watch(scene.size.outage)
    scene.until_done(scene.produce(events(after, scene.seed + 2)), START_SECONDS)


def one_bad_record(scene: Scene, bad: Callable[[int], bytes]) -> None:
    """In the middle of good ones. All are there before the products start."""
    records = events(scene.size.events, scene.seed)
    middle = len(records) // 2
    records[middle] = (confluent_frame(KNOWN, bad(scene.seed)), records[middle][1])
    all_is_there(scene, records, START_SECONDS * (1 + scene.size.restarts))


def all_is_there(scene: Scene, records: list[Bytes], patience: float) -> None:
    """Before the products start."""
    scene.registry.put(KNOWN, made.schema_text("PlatformEvent"))
    last = scene.produce(records)
    scene.start()
    scene.until_done(last, patience)


def no_avro(seed: int) -> bytes:
    """A length that never ends: no schema reads that."""
    return b"\xff" * 16 + random.Random(seed).randbytes(16)


def no_json(seed: int) -> bytes:
    """A PlatformEvent in good Avro whose payload is cut short."""
    (whole,) = made.entity_changes(1, seed)
    return made.platform_event("entityChangeEvent", b'{"entityUrn": "' + whole.key)


def slow_action(scene: Scene) -> None:
    all_is_there(scene, events(scene.size.slow_events, scene.seed), scene.size.window)


def killed(scene: Scene) -> None:
    all_is_there(scene, events(scene.size.events, scene.seed), 2 * START_SECONDS)


def beyond_the_middle(size: Size) -> int:
    return size.events * 13 // 20


CASES = (
    Case(
        "registry-503",
        lambda size: f"the registry answers 503 for {size.outage:g} s while a new schema's records come",
        functools.partial(outage, status=503),
    ),
    Case(
        "registry-401",
        lambda size: f"the registry answers 401 for {size.outage:g} s while a new schema's records come",
        functools.partial(outage, status=401),
    ),
    Case(
        "not-avro",
        lambda size: "a record whose bytes are no Avro",
        functools.partial(one_bad_record, bad=no_avro),
    ),
    Case(
        "payload-not-json",
        lambda size: "a record whose payload is no JSON",
        functools.partial(one_bad_record, bad=no_json),
    ),
    Case(
        "slow-action",
        lambda size: f"an action that takes {size.slow_seconds:g} s for each event, watched for {size.window:g} s",
        slow_action,
        lambda size: size.slow_seconds,
    ),
    Case(
        "killed",
        lambda size: f"kill -9 at event {beyond_the_middle(size)}, {QUICK_SECONDS * 1000:g} ms for each event",
        killed,
        lambda size: QUICK_SECONDS,
        beyond_the_middle,
    ),
)
