"""Where a node listens: the listeners that a cluster has, their ports, and what its settings say of them.

Owns names, protocols and ports. Knows nothing of processes, certificates or users.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from typing import NamedTuple

HOST = "127.0.0.1"
# Below the ports that systems hand out by themselves, so that nobody takes a node's ports while it is down.
PORTS = range(20_000, 32_000)

CLIENT, CONTROLLER, PROXIED = "CLIENT", "CONTROLLER", "PROXIED"
SSL, MTLS, SASL = "SSL", "MTLS", "SASL"
PLAIN = {CLIENT: "PLAINTEXT", CONTROLLER: "PLAINTEXT"}
"""Listener names and their protocols. Brokers talk to each other, and tests prepare things, on CLIENT."""
BEHIND_PROXY = {PROXIED: "PLAINTEXT"}
SECURE = {SSL: "SSL", MTLS: "SSL", SASL: "SASL_SSL"}


class Listener(NamedTuple):
    """One listener of one node. Clients are sent to `advertised`, which is `bound` unless a proxy stands between."""

    protocol: str
    bound: int
    advertised: int


def listeners_of(protocols: Mapping[str, str], nodes: int) -> dict[int, dict[str, Listener]]:
    """Each node's listeners by name, on ports of their own; nodes are numbered from 1."""
    ports = iter(free_ports(nodes * (len(protocols) + (PROXIED in protocols))))
    made: dict[int, dict[str, Listener]] = {}
    for node in range(1, nodes + 1):
        made[node] = {}
        for name, protocol in protocols.items():
            bound = next(ports)
            made[node][name] = Listener(protocol, bound, next(ports) if name == PROXIED else bound)
    return made


def settings_of(listeners: Mapping[str, Listener]) -> dict[str, object]:
    """A node's settings that say where it listens."""
    public = {name: listener for name, listener in listeners.items() if name != CONTROLLER}
    return {
        "listeners": ",".join(f"{name}://{HOST}:{each.bound}" for name, each in listeners.items()),
        "advertised.listeners": ",".join(f"{name}://{HOST}:{each.advertised}" for name, each in public.items()),
        "listener.security.protocol.map": ",".join(f"{name}:{each.protocol}" for name, each in listeners.items()),
        "controller.listener.names": CONTROLLER,
        "inter.broker.listener.name": CLIENT,
    }


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody holds at the moment, chosen at random so that parallel runs do not meet."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            if port not in chosen and probe.connect_ex((HOST, port)) != 0:
                chosen.append(port)
    return chosen
