"""The proxy's own process: sockets, and what is done to the bytes between them.

A process, not a thread of the harness: brokers, pollers and the harness share few cores, and a thread would wait for
the interpreter's lock each time the harness encodes or judges. Takes one JSON command a line on stdin, answers each
on stdout when it is in force, and ends with stdin. `proxy` is its only caller.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import struct
import sys
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from guarantees.frames import Cutter, Head, correlation_of, refusal

HOST: Final = "127.0.0.1"
HELD_MOST: Final = 4 * 1024 * 1024
"""Bytes of one direction on their way, after which its sender must wait: as with a network's buffers."""
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Order:
    """Something to be done to the next requests of a kind. `left` is None without end."""

    api_key: int
    what: str
    left: int | None
    code: int = 0


@dataclass(slots=True)
class Door:
    """One port that is listened at, the broker behind it, and the faults ordered for it."""

    upstream: int
    latency: float = 0.0
    refuse: bool = False
    blackhole: bool = False
    orders: dict[int, Order] = field(default_factory=dict)
    links: set[Link] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    frames: Counter[int] = field(default_factory=Counter)

    def order_for(self, api_key: int) -> Order | None:
        """What is to be done to this request; counts it."""
        self.frames[api_key] += 1
        order = self.orders.get(api_key)
        if order is None or order.left == 0:  # an order for all doors is one order
            return None
        if order.left is not None:
            order.left -= 1
        return order


class Way:
    """One direction: bytes wait here for their time, in order; then they go to `target`."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self.target_full = False
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, data: bytes) -> None:
        """Bytes to be sent on; none at all mean that the sender has closed."""
        if self.target is not None and self.target.is_closing():
            return
        if not (self._queue or self.door.latency or self.door.blackhole) and self.target is not None and data:
            self.target.write(data)
            return
        self._last = max(self._last, self._loop.time() + self.door.latency)  # a shorter latency overtakes nothing
        self._queue.append((self._last, data))
        self._held += len(data)
        self.go()

    def go(self) -> None:
        """Send what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while self._queue and self._open() and self._queue[0][0] <= now:
            assert self.target is not None
            _, data = self._queue.popleft()
            self._held -= len(data)
            if data:
                self.target.write(data)
            else:
                self.target.close()
        if self._queue and self._open():
            self._timer = self._loop.call_at(self._queue[0][0], self.go)
        self.regulate()

    def _open(self) -> bool:
        return self.target is not None and not self.door.blackhole

    def regulate(self) -> None:
        """Let the sender wait, or go on."""
        if self.source is None or self.source.is_closing():
            return
        if self.target_full or self.target is None or self._held > HELD_MOST:
            self.source.pause_reading()
        else:
            self.source.resume_reading()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()


class Link:
    """A client's connection and the one to the broker that it stands for."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.up, self.down = Way(door), Way(door)
        self._order: Order | None = None
        self._marked: dict[int, Order] = {}
        self._refusals: dict[int, bytes] = {}
        self._unsent: list[bytes] = []
        self._gone = False
        self._requests = Cutter(12, self._request_wanted)
        self._answers = Cutter(8, lambda head: correlation_of(head) in self._marked)

    def from_client(self, data: bytes) -> None:
        for piece, whole in self._requests.feed(data):
            if whole:
                self._obey(piece)
            else:
                self.up.put(piece)
            if self._gone:
                return

    def _request_wanted(self, first: bytes) -> bool:
        if self._order is None:  # else it is seen again, with more of its bytes
            self._order = self.door.order_for(Head.of(first).api_key)
        return self._order is not None

    def _obey(self, request: bytes) -> None:
        order, self._order = self._order, None
        assert order is not None
        correlation = Head.of(request).correlation
        if order.what == "lose-request":
            self.door.counts["requests_cut"] += 1
            self.reset()
        elif order.what == "refuse":
            self._say(refusal(request, order.code))
        else:  # the rest when it is answered
            self._marked[correlation] = order
            if order.what == "refuse-stored":
                self._refusals[correlation] = refusal(request, order.code)
            self.up.put(request)

    def from_broker(self, data: bytes) -> None:
        for piece, whole in self._answers.feed(data):
            if whole:
                self._answered(correlation_of(piece))
            else:
                self.down.put(piece)
            if self._gone:
                return
            self._say()

    def _answered(self, correlation: int) -> None:
        if self._marked.pop(correlation).what == "lose-answer":
            self.door.counts["requests_cut"] += 1
            self.reset()
        else:
            self._say(self._refusals.pop(correlation))

    def _say(self, *refusals: bytes) -> None:
        """Tell the client, but not in the middle of an answer of the broker's own."""
        self._unsent += refusals
        while self._unsent and self._answers.between_frames:
            self.door.counts["errors_swapped"] += 1
            self.down.put(self._unsent.pop(0))

    def reset(self) -> None:
        """Both sides get a reset, and whatever was on its way is gone."""
        self._gone = True
        for way in (self.up, self.down):
            way.end()
            if way.target is not None and not way.target.is_closing():
                _reset(way.target)
        self.door.links.discard(self)


class Side(asyncio.Protocol):
    """One end of a link: `into` leads away from it, `out` to it."""

    def __init__(self, link: Link, into: Way, out: Way, received: Any) -> None:
        self._link, self._into, self._out, self._received = link, into, out, received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1024 * 1024)
        self._into.source = self._out.target = transport
        self._into.regulate()
        self._out.go()

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._out.end()
        self._into.put(b"")
        if self._out.source is None or self._out.source.is_closing():
            self._link.door.links.discard(self._link)

    def pause_writing(self) -> None:
        self._out.target_full = True
        self._out.regulate()

    def resume_writing(self) -> None:
        self._out.target_full = False
        self._out.regulate()


class ClientSide(Side):
    """The end that a client has connected to."""

    def __init__(self, door: Door) -> None:
        link = Link(door)
        super().__init__(link, link.up, link.down, link.from_client)
        self._door = door
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._door.counts["connections"] += 1
        if self._door.refuse:
            self._door.counts["refused"] += 1
            _reset(transport)
            return
        super().connection_made(transport)
        self._door.links.add(self._link)
        self._task = asyncio.create_task(self._connect(transport))

    async def _connect(self, transport: asyncio.Transport) -> None:
        link = self._link
        try:
            broker, _ = await asyncio.get_running_loop().create_connection(
                lambda: Side(link, link.down, link.up, link.from_broker), HOST, self._door.upstream
            )
        except OSError:
            _reset(transport)
            return
        if transport.is_closing():  # gone in the meantime
            broker.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            super().connection_lost(exc)


def _reset(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


class Relay:
    """All doors, and the commands for them."""

    def __init__(self, doors: dict[int, Door]) -> None:
        self._doors = doors

    def do(self, command: dict[str, Any]) -> Any:
        """Put it in force; gives what there is to say."""
        port = command.pop("port")
        doors = list(self._doors.values()) if port is None else [self._doors[port]]
        match command.pop("do"):
            case "cut":
                return sum(_cut(door) for door in doors)
            case "order":
                order = Order(**command)
                for door in doors:
                    door.orders[order.api_key] = order
            case "heal":
                for door in doors:
                    door.orders.clear()
            case "set":
                for door in doors:
                    for name, value in command.items():
                        setattr(door, name, value)
                    for way in [way for link in door.links for way in (link.up, link.down)]:
                        way.go()
            case "stats":
                return [_stats(door) for door in doors]
        return None


def _cut(door: Door) -> int:
    links = list(door.links)
    for link in links:
        link.reset()
    door.counts["cut"] += len(links)
    return len(links)


def _stats(door: Door) -> dict[str, Any]:
    return {"counts": dict(door.counts), "frames": dict(door.frames), "open": len(door.links)}


async def serve(doors: dict[int, Door]) -> None:
    loop, relay, over = asyncio.get_running_loop(), Relay(doors), asyncio.Event()

    def obey(line: str) -> None:
        try:
            answer = {"done": relay.do(json.loads(line))}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(obey, line)
        loop.call_soon_threadsafe(over.set)

    for port, door in doors.items():
        await loop.create_server(functools.partial(ClientSide, door), HOST, port, backlog=256)
    print(json.dumps({"done": None}), flush=True)
    threading.Thread(target=listen, daemon=True).start()
    await over.wait()


if __name__ == "__main__":
    asyncio.run(serve({int(port): Door(upstream) for port, upstream in json.loads(sys.argv[1]).items()}))
