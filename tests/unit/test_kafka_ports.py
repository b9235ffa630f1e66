"""Clusters that are started at the same time do not choose each other's ports."""

from __future__ import annotations

import socket

import pytest

from kafka.listeners import HOST, PORTS, claimed_ports, free_ports


@pytest.fixture
def claims():
    held = claimed_ports(4)
    yield held
    for each in held:
        each.close()


def numbers(claims):
    return [each.getsockname()[1] for each in claims]


def test_a_claimed_port_is_nobody_elses_until_it_is_given_back(claims, monkeypatch):
    (first, *_), drawn = numbers(claims), []

    def choice(_ports):
        drawn.append(first if len(drawn) < 3 else PORTS[7 * len(drawn)])
        return drawn[-1]

    monkeypatch.setattr("kafka.listeners.secrets.choice", choice)
    (port,) = free_ports(1)
    assert drawn[:3] == [first] * 3
    assert port != first
    drawn.clear()
    claims[0].close()
    assert free_ports(1) == [first]


def test_what_is_claimed_can_be_listened_on_with_tcp(claims):
    for port in numbers(claims):
        with socket.create_server((HOST, port)):
            pass


def test_a_port_that_is_listened_on_is_not_claimed(monkeypatch):
    with socket.create_server((HOST, 0)) as taken:
        ports = iter([taken.getsockname()[1]] * 3 + [free_ports(1)[0]])
        monkeypatch.setattr("kafka.listeners.secrets.choice", lambda _: next(ports))
        assert free_ports(1) != [taken.getsockname()[1]]
        assert list(ports) == []
