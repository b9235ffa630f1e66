import gc
import json
import math
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from datahub_poller.errors import CannotStart, HandlerFailed
from datahub_poller.invoke.base import Invocation, Partial, Succeeded
from datahub_poller.invoke.python import PythonInvoker
from datahub_poller.model import STACK_LIMIT, TopicPartition
from support.handlers import envelope, handler_directory


@pytest.fixture
def workshop(tmp_path):
    with handler_directory(tmp_path / "handlers") as made:
        yield made


@pytest.fixture
def invoker(workshop):
    made = []

    def make(source, timeout=60.0):
        workshop.write("handler_under_test.py", source)
        invoker = PythonInvoker("handler_under_test:handle", workshop.path, timeout)
        invoker.load()
        made.append(invoker)
        return invoker

    yield make
    for each in made:
        each.close()


def invocation(count=3, attempt=1, seconds=60.0):
    events = [envelope(offset) for offset in range(count)]
    return Invocation("tag-sync", "b1", attempt, events, time.monotonic() + seconds, lambda: places_of(count))


def places_of(count, partition=0, first=0):
    kafka = [envelope(first + number, partition=partition)["meta"]["kafka"] for number in range(count)]
    return [(each["topic"], each["partition"], each["offset"]) for each in kafka]


def failure(invoker, given=None):
    with pytest.raises(HandlerFailed) as raised:
        invoker.invoke(invocation() if given is None else given)
    return raised.value


def body(lines, prefix=""):
    return f"{prefix}\ndef handle(event, context):\n" + "\n".join(f"    {line}" for line in lines.splitlines())


@pytest.mark.parametrize("answer", ["None", "{}", "{'batchItemFailures': []}", "{'batchItemFailures': None}"])
def test_a_handler_that_names_no_failure_has_succeeded(answer, invoker):
    assert invoker(body(f"return {answer}")).invoke(invocation()) == Succeeded()


def test_a_handler_gets_the_event_as_promised_and_a_context_with_real_time(invoker):
    made = invoker(
        body(
            "assert set(event) == {'action', 'batch_id', 'attempt', 'events'}, event\n"
            "assert (event['action'], event['batch_id'], event['attempt']) == ('tag-sync', 'b1', 2)\n"
            "assert [e['meta']['kafka']['offset'] for e in event['events']] == [0, 1, 2]\n"
            "assert context.function_name == 'tag-sync' and context.aws_request_id == 'b1/2'\n"
            "assert 0 < context.get_remaining_time_in_millis() <= 60_000"
        )
    )
    assert made.invoke(invocation(attempt=2)) == Succeeded()


def test_the_context_promises_no_more_than_the_timeout_nor_the_deadline(invoker):
    made = invoker(body("raise ValueError(context.get_remaining_time_in_millis())"), timeout=10)
    assert 9_000 < int(str(failure(made, invocation(seconds=math.inf)))) <= 10_000
    assert 4_000 < int(str(failure(made, invocation(seconds=5)))) <= 5_000
    assert int(str(failure(made, invocation(seconds=-5)))) == 0


def test_named_records_make_the_outcome_partial(invoker):
    made = invoker(
        body("return {'batchItemFailures': [{'itemIdentifier': {'partition': 'PlatformEvent_v1-0', 'offset': 1}}]}")
    )
    outcome = made.invoke(invocation())
    assert isinstance(outcome, Partial)
    assert outcome.failed == {(TopicPartition("PlatformEvent_v1", 0), 1)}
    item = {"itemIdentifier": {"partition": "PlatformEvent_v1-0", "offset": 1}}
    assert json.loads(outcome.response) == {"batchItemFailures": [item]}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("'ok'", '"ok"'),
        ("{'batchItemFailures': 1, 'why': {1, }}", '{"batchItemFailures": 1, "why": "{1}"}'),
        ("'x' * 100_000", '"' + "x" * 3_999),
        ("Bad()", "(cannot be shown: RuntimeError)"),
    ],
)
def test_what_a_handler_answered_amiss_is_kept_for_the_letter(answer, told, invoker):
    bad = "class Bad:\n    def __repr__(self): raise RuntimeError"
    assert failure(invoker(body(f"return {answer}", bad))).response == told


def test_the_classes_of_an_error_are_told_the_nearest_first(invoker):
    error = failure(invoker(body("raise UnicodeDecodeError('utf-8', b'', 0, 1, 'no')")))
    assert error.lineage == ("UnicodeDecodeError", "UnicodeError", "ValueError", "Exception", "BaseException")
    assert error.response == ""


@pytest.mark.parametrize("answer", ["'ok'", "True", "[]", "{'batchItemFailures': [{'itemIdentifier': {}}]}"])
def test_a_malformed_response_fails_the_call_and_says_what_was_wrong(answer, invoker):
    error = failure(invoker(body(f"return {answer}")))
    assert error.kind == "MalformedResponse"
    assert str(error)


def test_a_record_of_another_batch_fails_the_call(invoker):
    made = invoker(
        body("return {'batchItemFailures': [{'itemIdentifier': {'partition': 'PlatformEvent_v1-0', 'offset': 99}}]}")
    )
    assert "was not in this batch" in str(failure(made))


def test_what_a_handler_does_to_its_event_does_not_change_what_it_may_name(invoker):
    made = invoker(
        body(
            "name = {'partition': 'PlatformEvent_v1-0', 'offset': 2}\n"
            "for e in event['events']: e.clear()\n"
            "event['events'].clear()\n"
            "return {'batchItemFailures': [{'itemIdentifier': name}]}"
        )
    )
    given = invocation()
    outcome = made.invoke(given)
    assert isinstance(outcome, Partial)
    assert outcome.failed == {(TopicPartition("PlatformEvent_v1", 0), 2)}
    assert len(given.events) == 3


def test_envelopes_are_handed_out_without_a_copy(invoker):
    made = invoker(body("event['events'][0]['touched'] = True"))
    given = invocation()
    made.invoke(given)
    assert given.events[0]["touched"] is True


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ValueError('tag unknown')", "ValueError"),
        ("MyError('tag unknown')", "handler_under_test.MyError"),
        ("SystemExit('tag unknown')", "SystemExit"),
        ("KeyboardInterrupt('tag unknown')", "KeyboardInterrupt"),
        ("GeneratorExit('tag unknown')", "GeneratorExit"),
        ("asyncio.CancelledError('tag unknown')", "asyncio.exceptions.CancelledError"),
        ("MemoryError('tag unknown')", "MemoryError"),
        ("RecursionError('tag unknown')", "RecursionError"),
        ("StopIteration('tag unknown')", "StopIteration"),
        ("BaseExceptionGroup('tag unknown', [SystemExit(1)])", "BaseExceptionGroup"),
        ("contract.MalformedResponse('tag unknown')", "MalformedResponse"),
    ],
)
@pytest.mark.parametrize("word", ["def", "async def"])
def test_whatever_a_handler_raises_is_its_own_failure_with_class_message_and_line(raised, kind, word, invoker):
    prefix = "import asyncio\nfrom datahub_handler import contract\nclass MyError(Exception): ..."
    made = invoker(body(f"raise {raised}", prefix).replace("def handle", f"{word} handle"))
    error = failure(made)
    if "StopIteration" in raised and word == "async def":
        kind = "RuntimeError"  # what the language makes of it
    else:
        assert "tag unknown" in str(error)
    assert error.kind == kind
    assert "handler_under_test.py" in error.stack
    assert "line 5, in handle" in error.stack
    for ours in ("invoke/python.py", "runtime.py", "asyncio/"):
        assert ours not in error.stack


def test_endless_recursion_is_a_failure(invoker):
    error = failure(invoker(body("def again(n): again(n + 1)\nagain(0)")))
    assert error.kind == "RecursionError"
    assert len(error.stack) <= STACK_LIMIT


def test_a_failure_is_bounded(invoker):
    error = failure(invoker(body("raise ValueError('x' * 10_000_000)")))
    assert len(error.stack) <= STACK_LIMIT
    assert len(str(error)) <= STACK_LIMIT


def test_an_exception_that_cannot_be_printed_is_a_failure_all_the_same(invoker):
    made = invoker(
        body("raise Mute", "class Mute(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__")
    )
    assert failure(made).kind == "handler_under_test.Mute"


def test_a_response_whose_methods_raise_is_a_failure(invoker):
    made = invoker(body("return Evil(a=1)", "class Evil(dict):\n    def get(self, *a): raise SystemExit"))
    assert failure(made).kind == "SystemExit"


def test_a_failure_does_not_keep_the_batch_in_memory(invoker):
    made = invoker(body("big = Big()\nkept.append(weakref.ref(big))\nraise ValueError", BIG))
    error = failure(made)
    kept = made._calls._handler.__globals__["kept"]
    gc.collect()
    assert isinstance(kept[0], weakref.ref)
    assert kept[0]() is None
    assert error.kind == "ValueError"


BIG = "import weakref\nkept = []\nclass Big: ..."


def test_calls_run_side_by_side_and_do_not_mix(invoker):
    made = invoker(
        body(
            "meeting.wait(20)\n"
            "first = event['events'][0]['meta']['kafka']\n"
            "name = {'partition': f\"{first['topic']}-{first['partition']}\", 'offset': first['offset']}\n"
            "return {'batchItemFailures': [{'itemIdentifier': name}]}",
            "import threading\nmeeting = threading.Barrier(4)",
        )
    )

    def call(number):
        events = [envelope(offset, partition=number) for offset in range(number, number + 3)]
        places = places_of(3, number, number)
        return made.invoke(Invocation("a", f"b{number}", 1, events, time.monotonic() + 60, lambda: places))

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(call, range(4)))
    named = [outcome.failed for outcome in outcomes if isinstance(outcome, Partial)]
    assert named == [{(TopicPartition("PlatformEvent_v1", number), number)} for number in range(4)]


def test_asynchronous_calls_run_side_by_side_each_on_its_threads_loop(invoker):
    made = invoker(
        "import asyncio, threading\nmeeting = threading.Barrier(3)\n"
        "async def handle(event, context):\n"
        "    meeting.wait(20)\n"
        "    await asyncio.gather(*(asyncio.sleep(0) for _ in event['events']))\n"
    )
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: made.invoke(invocation()), range(6))) == [Succeeded()] * 6


def test_a_coroutine_past_its_time_fails_as_timed_out(invoker):
    made = invoker("import asyncio\nasync def handle(event, context):\n    await asyncio.sleep(3600)", timeout=0.05)
    error = failure(made)
    assert error.kind == "TimeoutError"
    assert "line 3, in handle" in error.stack


def test_a_handlers_output_is_left_alone(invoker, capfd):
    invoker(body("print('a line'); print('another', file=sys.stderr)", "import sys")).invoke(invocation())
    assert capfd.readouterr() == ("a line\n", "another\n")


def test_exits_in_a_worker_thread_do_not_end_the_thread(invoker):
    made = invoker(body("import sys; sys.exit(1)"))
    kinds = []

    def work():
        kinds.extend(failure(made).kind for _ in range(3))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(20)
    assert kinds == ["SystemExit"] * 3


def test_a_handler_that_cannot_be_loaded_cannot_start_and_the_message_names_the_key(workshop):
    with pytest.raises(CannotStart, match=r"handler\.config\.function: 'nothing:handle': there is no module"):
        PythonInvoker("nothing:handle", workshop.path, 60).load()


def test_a_call_before_loading_is_refused(workshop):
    invoker = PythonInvoker("nothing:handle", workshop.path, 60)
    with pytest.raises(CannotStart):
        invoker.invoke(invocation())
    invoker.close()
