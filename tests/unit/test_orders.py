"""Orders as they come in: their JSON, who may give them over HTTP, and their way to the loop and back."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
from email.message import Message

import pytest

from datahub_poller.model import Answer, TopicPartition
from datahub_poller.observe.logs import Throttle
from datahub_poller.observe.ordering import BODY_LIMIT, Orders
from datahub_poller.observe.server import StatusServer
from datahub_poller.observe.status import Board
from datahub_poller.order_box import OrderBox
from datahub_poller.orders import (
    BreakerClose,
    GiveUp,
    Order,
    Pause,
    Resume,
    RetryNow,
    Scope,
    Unclear,
    from_document,
    to_document,
)

TP = TopicPartition("pe", 3)
WHATS = [
    BreakerClose(),
    GiveUp(TP, 17),
    GiveUp(TP, 0, look=True),
    Pause(Scope()),
    Pause(Scope("pe")),
    Resume(Scope("pe", 0)),
    RetryNow(),
]
TOKEN = "s3cret-töken"


@pytest.mark.parametrize("what", WHATS, ids=str)
def test_an_order_s_json_is_read_back(what):
    order = Order(what, "alice@host", "because")
    assert from_document(json.loads(json.dumps(to_document(order)))) == order


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "an order is a JSON object"),
        ({}, "order: must be one of breaker-close"),
        ({"order": ["pause"]}, "order: must be one of"),
        ({"order": "skip", "who": "a"}, "order: must be one of"),
        ({"order": "pause"}, "who: say who"),
        ({"order": "pause", "who": "  "}, "who: say who"),
        ({"order": "pause", "who": "a", "partition": 1}, "partition: of which topic?"),
        ({"order": "pause", "who": "a", "topic": "t", "partition": -1}, "partition: must be a whole number"),
        ({"order": "pause", "who": "a", "topic": "t", "partition": True}, "partition: must be a whole number"),
        ({"order": "pause", "who": "a", "topic": "t", "partition": 2**31}, "partition: must be a whole number"),
        ({"order": "pause", "who": "a", "topic": ""}, "topic: must be a topic's name"),
        ({"order": "pause", "who": "a", "topic": None}, "topic: must be text"),
        ({"order": "pause", "who": "a", "topic": "t" * 250}, "topic: must be text"),
        ({"order": "pause", "who": "a" * 201}, "who: must be text"),
        ({"order": "pause", "who": "a", "why": "w" * 501}, "why: must be text"),
        ({"order": "pause", "who": "a", "why": "one\ntwo"}, "why: must be text that can be printed"),
        ({"order": "pause", "who": "a", "offset": 3}, "pause has no 'offset'"),
        ({"order": "retry-now", "who": "a", "topic": "t"}, "retry-now has no 'topic'"),
        ({"order": "give-up", "who": "a", "topic": "t", "partition": 0}, "offset: must be a whole number"),
        ({"order": "give-up", "who": "a", "topic": "t", "partition": 0, "offset": 1.0}, "offset: must be"),
        ({"order": "give-up", "who": "a", "topic": "t", "partition": 0, "offset": 2**63}, "offset: must be"),
        ({"order": "give-up", "who": "a", "topic": "t", "partition": 0, "offset": 1, "look": "no"}, "look: must be"),
    ],
)
def test_what_is_no_order_is_told_why(document, words):
    with pytest.raises(Unclear) as refusal:
        from_document(document)
    assert str(refusal.value).startswith(words)


# -- over HTTP


@contextlib.contextmanager
def serving(bring=lambda document: Answer(True, f"done: {document}"), **options):
    server = StatusServer(Board(), 0, orders=bring, **options)
    port = server.start()
    try:
        yield port
    finally:
        server.close()


def post(port, body=b'{"a": 1}', path="/orders", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in ({"Content_Type": "application/json"} | headers).items()}
    try:
        connection.request("POST", path, body, {name: value for name, value in named.items() if value is not None})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_an_order_is_brought_and_its_answer_comes_back():
    with serving() as port:
        code, body = post(port)
        assert (code, json.loads(body)) == (200, {"obeyed": True, "said": "done: {'a': 1}"})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(True, "done"), 200),
        (Answer(False, "no breaker is open"), 409),
        (Answer(False, "who?", unclear=True), 400),
        (None, 503),
    ],
)
def test_the_code_says_what_became_of_it(answer, code):
    with serving(lambda _: answer) as port:
        status, body = post(port)
        assert status == code
        assert json.loads(body)["obeyed"] == (code == 200)
        assert json.loads(body)["said"] == (answer.said if answer else json.loads(body)["said"])


def refused():
    def bring(document):
        raise AssertionError(f"brought: {document}")

    return serving(bring)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_json_is_refused(body):
    with refused() as port:
        assert post(port, body)[0] == 400


@pytest.mark.parametrize(
    ("headers", "code", "words"),
    [
        ({"Content_Type": None}, 415, "Content-Type: application/json"),
        ({"Content_Type": "text/plain"}, 415, "Content-Type: application/json"),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415, "Content-Type: application/json"),
        ({"Origin": "http://evil.example"}, 403, "a web page gives no orders"),
        ({"Origin": "null"}, 403, "a web page gives no orders"),
        ({"Host": "evil.example"}, 403, "ask for 127.0.0.1"),
    ],
)
def test_what_a_web_page_could_send_is_refused(headers, code, words):
    with refused() as port:
        status, body = post(port, **headers)
        assert (status, words in body) == (code, True)


def test_more_than_an_order_can_be_is_refused_and_the_answer_is_seen():
    with refused() as port:
        for size in (BODY_LIMIT + 1, 10 * BODY_LIMIT):
            assert post(port, b" " * size)[0] == 413


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Content-Length: -1\r\n",
        b"Content-Length: x\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_body_of_no_certain_length_is_refused(head):
    with refused() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(
            b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + head + b"\r\n{}"
        )
        assert b" 400 " in raw.recv(64)


def test_a_body_that_ends_early_is_refused():
    with refused() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"POST /orders HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}")
        raw.shutdown(socket.SHUT_WR)
        assert b" 400 " in raw.recv(64)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer wrong", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
    ],
)
def test_where_there_is_a_token_it_has_to_be_shown_on_this_machine_too(given, code, caplog):
    header = None if given is None else given.encode()
    with caplog.at_level(logging.DEBUG), serving(token=TOKEN) as port:
        status, body = post(port, Authorization=header)
    assert status == code
    assert TOKEN not in body + caplog.text


def test_two_tokens_are_none():
    headers = Message()
    for token in (TOKEN, "other"):
        headers["Authorization"] = f"Bearer {token.encode().decode('latin-1')}"
    assert door(TOKEN).refusal(headers, "127.0.0.1").code == 401


def door(token):
    return Orders(lambda _: None, token, Throttle(10.0))


@pytest.mark.parametrize(
    ("client", "token", "code"),
    [
        ("127.0.0.1", None, None),
        ("127.8.0.1", None, None),
        ("::1", None, None),
        ("::ffff:127.0.0.1", None, None),
        ("::ffff:10.0.0.7", None, 403),
        ("10.0.0.7", None, 403),
        ("fe80::1", None, 403),
        ("nonsense", None, 403),
        ("10.0.0.7", TOKEN, None),
    ],
)
def test_from_elsewhere_only_the_token_counts(client, token, code):
    headers = Message()
    headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {TOKEN.encode().decode('latin-1')}"
    refusal = door(token).refusal(headers, client)
    assert (None if refusal is None else refusal.code) == code
    assert refusal is None or "set status.token" in refusal.said


def test_refusals_are_logged_without_flooding_the_log(caplog):
    with caplog.at_level(logging.WARNING), serving(token=TOKEN) as port:
        for _ in range(5):
            post(port, Authorization=b"Bearer wrong")
    assert [record.message for record in caplog.records] == ["order not admitted"]
    assert "wrong" not in str([vars(record) for record in caplog.records])


def test_orders_are_given_with_post_and_only_where_they_are_taken():
    with serving() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/orders")
        assert connection.getresponse().status == 405
        connection.close()
        assert post(port, path="/status")[0] == 501
        assert post(port, path="/orders/")[0] == 501


# -- to the loop and back

PAUSE = to_document(Order(Pause(Scope()), "alice"))


def test_the_box_gives_the_order_to_the_loop_and_the_answer_to_who_waits():
    box, told = OrderBox(10.0), []
    waiting = threading.Thread(target=lambda: told.append(box.bring(PAUSE)))
    waiting.start()
    seen = []

    def obey(order, now):
        seen.append(order)
        return Answer(True, "paused")

    while not seen and waiting.is_alive():
        box.serve(obey, 0.0)
    waiting.join(10)
    assert (seen, told) == ([Order(Pause(Scope()), "alice", "")], [Answer(True, "paused")])


def test_an_order_that_nobody_takes_in_time_is_withdrawn_and_never_obeyed():
    box = OrderBox(0.05)
    assert box.bring(PAUSE) is None
    box.serve(lambda order, now: pytest.fail("obeyed"), 0.0)


def test_an_order_that_is_being_obeyed_when_time_is_up_is_answered():
    box, told, begun = OrderBox(0.2), [], threading.Event()
    waiting = threading.Thread(target=lambda: told.append(box.bring(PAUSE)))
    waiting.start()

    def obey(order, now):
        begun.set()
        waiting.join(0.4)  # longer than it is waited for
        return Answer(True, "paused")

    while not begun.is_set() and waiting.is_alive():
        box.serve(obey, 0.0)
    waiting.join(10)
    assert told == [Answer(True, "paused")]


def test_what_is_no_order_never_reaches_the_loop():
    box = OrderBox(0.05)
    assert box.bring({"order": "dance"}).unclear
    box.serve(lambda order, now: pytest.fail("obeyed"), 0.0)
