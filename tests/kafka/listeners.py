"""Where a node listens: the listeners that a cluster has, their ports, and what its settings say of them.

Owns names, protocols and ports. Knows nothing of processes, certificates or users.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
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


def ports_for(protocols: Mapping[str, str], nodes: int) -> int:
    """How many ports `listeners_of` takes."""
    return nodes * (len(protocols) + (PROXIED in protocols))


def listeners_of(protocols: Mapping[str, str], nodes: int, ports: Iterator[int]) -> dict[int, dict[str, Listener]]:
    """Each node's listeners by name, on ports of their own; nodes are numbered from 1."""
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
    """Ports on loopback that nobody holds or has claimed at the moment, for use at once."""
    with ExitStack() as claims:
        return [each.getsockname()[1] for each in map(claims.enter_context, claimed_ports(count))]


def claimed_ports(count: int) -> list[socket.socket]:
    """So many ports on loopback that nobody else takes by this function until these sockets are closed.

    Kafka has to bind the ports itself, and some have nobody on them for long: a claim is the UDP port of that number.
    """
    claims: list[socket.socket] = []
    while len(claims) < count:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as probe:
            try:
                claim.bind((HOST, secrets.choice(PORTS)))
                probe.bind(claim.getsockname())
            except OSError:
                claim.close()
            else:
                claims.append(claim)
    return claims
