"""Where the status is served: addresses as a file may say them, as URLs have them; real sockets of both families."""

from __future__ import annotations

import http.client

import click
import pytest

from datahub_poller.commands.naming import Door, _host
from datahub_poller.errors import CannotStart
from datahub_poller.observe.listening import asked_at, in_url, is_loopback, seen_at_loopback
from datahub_poller.observe.render import fetch_status
from datahub_poller.observe.server import StatusServer
from datahub_poller.observe.status import Board
from support.action_files import action_of, problems_of
from support.ipv6 import needs_ipv6


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("localhost", "127.0.0.1"),
        ("10.0.0.7", "10.0.0.7"),
        ("::1", "::1"),
        ("::", "::"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_file_may_say_an_address_of_either_family(given: str, host: str) -> None:
    assert action_of({"status": {"host": given}}).status.host == host


@pytest.mark.parametrize("given", ["example.org", "[::1]", "::1:8470:x", "fe80::1%eth0", "", 1, ["::1"], True])
def test_what_is_no_address_is_refused(given: object) -> None:
    (problem,) = problems_of({"status": {"host": given}})
    assert problem.startswith("action: status.host: must be an IPv4 or IPv6 address of this machine")
    assert 'YAML needs quotes around "::"' in problem


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.7", False),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_loopback_is_known_in_every_form(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_a_url_has_an_ipv6_address_in_brackets() -> None:
    assert [in_url(host) for host in ("::1", "127.0.0.1", "a.example")] == ["[::1]", "127.0.0.1", "a.example"]
    assert Door(8470, "::1").url("/orders") == "http://[::1]:8470/orders"


@pytest.mark.parametrize("given", ["::1", "[::1]", "0:0:0:0:0:0:0:1"])
def test_a_command_takes_an_ipv6_address_with_brackets_or_without(given: str) -> None:
    assert _host(click.Context(click.Command("status")), click.Option(["--host"]), given) == "::1"


def test_all_addresses_are_asked_at_loopback() -> None:
    assert [asked_at(host) for host in ("0.0.0.0", "::", "::1")] == ["127.0.0.1", "127.0.0.1", "::1"]
    assert [seen_at_loopback(host) for host in ("::", "127.0.0.1", "::1")] == [True, True, False]


def test_on_ipv6_loopback_it_is_found_and_a_page_with_a_name_of_its_own_is_refused() -> None:
    needs_ipv6()
    server = StatusServer(Board(), 0, host="::1")
    port = server.start()
    try:
        assert fetch_status(port, host="::1")["state"] == "starting"
        assert _code("::1", port, "evil.example") == 403
        assert _code("::1", port, f"[::1]:{port}") == 200
    finally:
        server.close()


def test_all_addresses_means_both_families_and_any_name() -> None:
    needs_ipv6()
    server = StatusServer(Board(), 0, host="::")
    port = server.start()
    try:
        assert [_code(host, port, "poller.example") for host in ("127.0.0.1", "::1")] == [200, 200]
    finally:
        server.close()


def test_a_port_that_is_taken_on_ipv6_is_told_with_its_address() -> None:
    needs_ipv6()
    first = StatusServer(Board(), 0, host="::1")
    port = first.start()
    try:
        with pytest.raises(CannotStart, match=rf"status\.port: cannot listen on \[::1\]:{port}: "):
            StatusServer(Board(), port, host="::1").start()
    finally:
        first.close()


def _code(host: str, port: int, named: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/status", headers={"Host": named})
        return connection.getresponse().status
    finally:
        connection.close()
