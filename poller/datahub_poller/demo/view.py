"""How the demo looks: a live picture in a terminal, plain lines anywhere else.

Shows what it is given; knows neither broker nor poller.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from datahub_poller.demo.follow import GivenUp, Invocation
from datahub_poller.demo.stage import Coordinate

_BATCHES_KEPT: Final = 40
_BATCHES_AT_LEAST: Final = 3
_ROWS_AROUND: Final = 7
_PICTURES_A_SECOND: Final = 8
_STARTING: Final = "starting"


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment: offsets by partition, counts, and the poller's own document of its status if it answered."""

    ends: Mapping[tuple[str, int], int]
    committed: Mapping[tuple[str, int], int]
    counts: Mapping[str, int]
    status: Mapping[str, Any] | None


class View(Protocol):
    """What the demo tells as it goes."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def invoked(self, invocation: Invocation) -> None:
        """The handler was called."""

    def given_up(self, letter: GivenUp) -> None:
        """A record became a dead letter."""

    def scene(self, scene: Scene) -> None:
        """Things have moved on."""


class Lines:
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._committed: Mapping[tuple[str, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def invoked(self, invocation: Invocation) -> None:
        """Say what the batch held and what became of it."""
        self._say(
            f"batch {invocation.number:>3}  {len(invocation.events):>3} events  {_topics(invocation.events):<40}"
            f"  {_outcome(invocation)}"
        )

    def given_up(self, letter: GivenUp) -> None:
        """Say which record and why."""
        self._say(_letter(letter))

    def scene(self, scene: Scene) -> None:
        """Say which offsets were committed since the last time."""
        moved = {at: offset for at, offset in scene.committed.items() if self._committed.get(at, 0) != offset}
        if moved:
            words = ", ".join(f"{_partition(at)} {offset}/{scene.ends[at]}" for at, offset in sorted(moved.items()))
            self._say(f"committed  {words}")
        self._committed = scene.committed

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass
class Picture:
    """The newest batches, the dead letters, and every partition's committed offset on its way to the end."""

    console: Console
    _live: Live = field(init=False)
    _scene: Scene | None = None
    _batches: deque[Invocation] = field(default_factory=lambda: deque(maxlen=_BATCHES_KEPT))
    _letters: list[GivenUp] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._live = Live(get_renderable=self._drawn, console=self.console, refresh_per_second=_PICTURES_A_SECOND)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def invoked(self, invocation: Invocation) -> None:
        """Show it as the newest batch."""
        self._batches.append(invocation)

    def given_up(self, letter: GivenUp) -> None:
        """Add it to the dead letters."""
        self._letters.append(letter)

    def scene(self, scene: Scene) -> None:
        """Show these numbers from now on."""
        self._scene = scene

    def _drawn(self) -> Group:
        letters = [Text(_letter(it), style="yellow", no_wrap=True, overflow="ellipsis") for it in self._letters]
        scene = () if self._scene is None else _scene_parts(self._scene)
        partitions = 0 if self._scene is None else len(self._scene.ends)
        room = self.console.size.height - partitions - len(letters) - _ROWS_AROUND
        batches = list(self._batches)[-max(_BATCHES_AT_LEAST, room) :]
        return Group(_batch_table(batches), Text(), *letters, *scene)


def _batch_table(batches: Sequence[Invocation]) -> Table:
    table = Table(title="batches, as the handler got them", title_justify="left", expand=True, box=None)
    table.add_column("batch", justify="right", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("from", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("outcome", no_wrap=True, overflow="ellipsis", ratio=5)
    for it in batches:
        outcome = Text(_outcome(it), style="green" if it.error is None else "red")
        table.add_row(str(it.number), str(len(it.events)), _topics(it.events), outcome)
    return table


def view_for(console: Console) -> View:
    """A picture where there is a terminal to draw on, else lines."""
    return Picture(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)


def _partition_table(scene: Scene) -> Table:
    """Every partition: committed, end, how far that is, and what the poller says it is doing there."""
    states = {(it["topic"], it["partition"]): it["state"] for it in (scene.status or {}).get("partitions", ())}
    table = Table(title="committed offsets, as the broker has them", title_justify="left", expand=True, box=None)
    table.add_column("partition", no_wrap=True)
    table.add_column("committed", justify="right", no_wrap=True)
    table.add_column("end", justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    table.add_column("poller says", no_wrap=True)
    for at, end in scene.ends.items():
        done = scene.committed.get(at, 0)
        bar = ProgressBar(total=max(end, 1), completed=done if end else 1)
        table.add_row(f"{at[0]}-{at[1]}", str(done), str(end), bar, states.get(at, "").replace("_", " "))
    return table


def _scene_parts(scene: Scene) -> tuple[Table, Text]:
    state = _STARTING if scene.status is None else scene.status.get("state", _STARTING)
    reasons = "; ".join((scene.status or {}).get("reasons", ()))
    counts = "   ".join(f"{word} {number}" for word, number in scene.counts.items())
    return _partition_table(scene), Text(
        f"poller: {state}{f' ({reasons})' if reasons else ''}   {counts}", style="bold"
    )


def _outcome(invocation: Invocation) -> str:
    again = f" (attempt {invocation.attempt})" if invocation.attempt > 1 else ""
    if invocation.error is not None:
        return f"failed{again}: {invocation.error}"
    return f"ok{again}: {invocation.told[0]}{', ...' if len(invocation.told) > 1 else ''}"


def _letter(letter: GivenUp) -> str:
    topic, partition, offset = letter.at
    kind = "undecodable" if letter.undecodable else "dead letter"
    return f"{kind}  {topic}-{partition}@{offset}  {letter.why}"


def _topics(events: tuple[Coordinate, ...]) -> str:
    found = Counter(_short(topic) for topic, _, _ in events)
    return ", ".join(f"{name} {number}" for name, number in sorted(found.items()))


def _partition(at: tuple[str, int]) -> str:
    """`MetadataChangeLog_Versioned_v1` 2 is `Versioned-2`."""
    return f"{_short(at[0])}-{at[1]}"


def _short(topic: str) -> str:
    return topic.removesuffix("_v1").removeprefix("MetadataChangeLog_")
