import asyncio
import contextvars
import functools
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datahub_handler.contract import Context
from datahub_handler.loading import parse
from datahub_handler.runtime import Calls, LoadError, fault_of, load
from support.handlers import handler_directory

GOOD = "def handle(event, context):\n    return {'seen': event}\n"

ADAPTED = """
import functools
def adapt(function):
    @functools.wraps(function)
    def call(event, context):
        return function(event)
    return call
@adapt
def handle(event):
    return 1
"""


@pytest.fixture
def workshop(tmp_path):
    with handler_directory(tmp_path / "handlers") as made:
        yield made


def refusal(name, path):
    with pytest.raises(LoadError) as raised:
        load(name, path)
    return raised.value


def context(seconds=60.0):
    return Context("a", "b/1", time.monotonic() + seconds)


# Names


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [
        ("tag_sync:handle", "tag_sync", "handle"),
        ("pkg.tag_sync:handle", "pkg.tag_sync", "handle"),
        ("pkg/tag_sync:handle", "pkg.tag_sync", "handle"),
        ("tag_sync:app.handle", "tag_sync", "app.handle"),
        ("tag_sync.handle", "tag_sync", "handle"),
        ("pkg.tag_sync.handle", "pkg.tag_sync", "handle"),
        ("src/pkg/tag_sync.handle", "src.pkg.tag_sync", "handle"),
        ("tag-sync:handle", "tag-sync", "handle"),
    ],
)
def test_a_name_is_read_in_our_way_and_in_lambdas(name, module, function):
    assert parse(name) == (module, function)


@pytest.mark.parametrize(
    "name",
    ["", "handle", ":", ":handle", "tag_sync:", "a:b:c", "..a:handle", "a..b:handle", "/tmp/a:handle", "./a.handle",
     "a b :handle", "a: handle", "a:handle()", "a:1st", "tag_sync.py:handle", "tag_sync.py", "dir/tag_sync.py:handle",
     "a\0:handle", "a.:handle", "a:.handle", "a\\b:handle"],
)  # fmt: skip
def test_a_malformed_name_is_refused_before_anything_is_imported(name, tmp_path):
    error = refusal(name, tmp_path)
    assert error.problem == "malformed"
    assert repr(name) in str(error)


# Finding


@pytest.mark.parametrize("name", ["tags_one:handle", "tags_one.handle"])
def test_a_function_beside_the_action_file_is_found(name, workshop):
    workshop.write("tags_one.py", GOOD)
    assert load(name, workshop.path)({"a": 1}, None) == {"seen": {"a": 1}}


@pytest.mark.parametrize("name", ["pkg_two/inner.handle", "pkg_two.inner:handle"])
@pytest.mark.parametrize("init", [True, False])
def test_a_function_in_a_package_is_found_with_and_without_its_init_file(name, init, workshop):
    if init:
        workshop.write("pkg_two/__init__.py", "")
    workshop.write("pkg_two/inner.py", GOOD)
    assert load(name, workshop.path)({}, None) == {"seen": {}}


def test_a_relative_path_and_one_through_a_link_work(workshop, tmp_path, monkeypatch):
    workshop.write("tags_three.py", GOOD)
    link = tmp_path / "link"
    link.symlink_to(workshop.path)
    monkeypatch.chdir(tmp_path)
    for path in (link, link.relative_to(tmp_path)):
        assert load("tags_three:handle", path)({}, None) == {"seen": {}}


def test_the_directory_joins_the_end_of_the_path_and_once_only(workshop):
    workshop.write("tags_four.py", GOOD)
    load("tags_four:handle", workshop.path)
    load("tags_four:handle", workshop.path)
    assert sys.path[-1] == str(workshop.path)
    assert sys.path.count(str(workshop.path)) == 1


def test_the_handler_may_import_its_neighbours_when_it_runs(workshop):
    workshop.write("neighbour_five.py", "WORD = 'near'\n")
    workshop.write(
        "tags_five.py", "def handle(event, context):\n    import neighbour_five\n    return neighbour_five.WORD\n"
    )
    assert load("tags_five:handle", workshop.path)({}, None) == "near"


def test_an_installed_function_is_found_without_a_file_in_the_directory(workshop, tmp_path):
    with handler_directory(tmp_path / "site") as site:
        site.write("installed_six.py", GOOD)
        sys.path.insert(0, str(site.path))
        assert load("installed_six:handle", workshop.path)({}, None) == {"seen": {}}


def test_a_module_that_is_not_there_is_named_with_where_it_was_looked_for_and_a_near_one(workshop):
    workshop.write("tag_sync.py", GOOD)
    error = refusal("tag_snyc:handle", workshop.path)
    assert error.problem == "module_not_found"
    assert str(workshop.path) in str(error)
    assert "tag_snyc.py" in str(error)
    assert "did you mean 'tag_sync'?" in str(error)


def test_a_module_missing_from_a_package_is_not_taken_for_a_missing_dependency(workshop):
    workshop.write("pkg_seven/__init__.py", "")
    assert refusal("pkg_seven.nothing:handle", workshop.path).problem == "module_not_found"
    workshop.write("plain_seven.py", GOOD)
    assert refusal("plain_seven.nothing:handle", workshop.path).problem == "module_not_found"


def test_a_path_that_is_no_directory_is_said(workshop):
    error = refusal("tag_sync:handle", workshop.path / "nowhere")
    assert error.problem == "module_not_found"
    assert "nowhere is not a directory" in str(error)
    workshop.write("file", "")
    assert "is not a directory" in str(refusal("tag_sync:handle", workshop.path / "file"))


def test_a_missing_dependency_is_told_from_a_missing_handler_with_file_and_line(workshop):
    workshop.write("tags_eight.py", "import os\nimport a_thing_nobody_has\n" + GOOD)
    error = refusal("tags_eight:handle", workshop.path)
    assert error.problem == "dependency_not_found"
    assert "imports 'a_thing_nobody_has'" in str(error)
    assert "tags_eight.py" in str(error)
    assert "line 2" in str(error)


def test_a_syntax_error_is_told_with_file_and_line(workshop):
    file = workshop.write("tags_nine.py", "def handle(event, context):\n    retrun None\n")
    error = refusal("tags_nine:handle", workshop.path)
    assert error.problem == "syntax"
    assert f"{file}:2" in str(error)
    assert "retrun None" in str(error)


def test_an_import_that_raises_is_told_with_the_users_frames_only(workshop):
    workshop.write("tags_ten.py", "def connect():\n    raise ValueError('no such host')\nconnect()\n" + GOOD)
    error = refusal("tags_ten:handle", workshop.path)
    assert error.problem == "import_failed"
    assert "ValueError: no such host" in str(error)
    assert "line 3, in <module>" in str(error)
    assert "datahub_handler" not in str(error)
    assert "importlib" not in str(error)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys; sys.exit(3)", "__main__"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("from os import no_such_name", "no_such_name"),
        ("raise ImportError", "ImportError"),
        ("def again(): again()\nagain()", "RecursionError"),
    ],
)
def test_whatever_an_import_raises_becomes_a_refusal(source, said, workshop):
    workshop.write("tags_eleven.py", source)
    error = refusal("tags_eleven:handle", workshop.path)
    assert error.problem == "import_failed"
    assert said in str(error)
    assert len(str(error)) < 12_000


def test_an_interrupt_from_the_keyboard_during_a_slow_import_stays_one(workshop):
    workshop.write("tags_twelve.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("tags_twelve:handle", workshop.path)


@pytest.mark.parametrize("name", ["random", "json", "sys", "__main__"])
def test_a_name_of_pythons_own_library_is_refused_with_the_advice_to_rename(name, workshop):
    if name == "random":
        workshop.write("random.py", GOOD)
    error = refusal(f"{name}:handle", workshop.path)
    assert error.problem == "reserved"
    assert "rename" in str(error)


@pytest.mark.parametrize("name", ["datahub_poller.cli:main", "datahub_handler:handle", "datahub_poller.demography:f"])
def test_the_pollers_own_packages_hold_no_handlers(name, workshop):
    assert refusal(name, workshop.path).problem == "reserved"


def test_a_file_hidden_by_an_installed_module_is_refused_before_the_other_is_run(workshop, tmp_path):
    file = workshop.write("hidden_mod.py", GOOD)
    with handler_directory(tmp_path / "site") as site:
        other = site.write("hidden_mod.py", "raise AssertionError('this must not run')")
        sys.path.insert(0, str(site.path))
        error = refusal("hidden_mod:handle", workshop.path)
    assert error.problem == "shadowed"
    assert str(file) in str(error)
    assert str(other) in str(error)


def test_a_directory_of_files_hidden_by_an_installed_package_is_refused(workshop, tmp_path):
    workshop.write("hidden_pkg/tags.py", GOOD)
    with handler_directory(tmp_path / "site") as site:
        site.write("hidden_pkg/__init__.py", "raise AssertionError('this must not run')")
        sys.path.insert(0, str(site.path))
        assert refusal("hidden_pkg.tags:handle", workshop.path).problem == "shadowed"


def test_a_file_that_its_own_package_passes_over_is_refused(workshop, tmp_path):
    file = workshop.write("turned_pkg/tags.py", GOOD)
    with handler_directory(tmp_path / "site") as site:
        other = site.write("tags.py", GOOD)
        workshop.write("turned_pkg/__init__.py", f"__path__.insert(0, {str(site.path)!r})")
        error = refusal("turned_pkg.tags:handle", workshop.path)
    assert error.problem == "shadowed"
    assert str(file) in str(error)
    assert str(other) in str(error)


def test_a_file_named_like_a_module_that_is_loaded_already_is_refused(workshop):
    workshop.write("pytest.py", GOOD)
    error = refusal("pytest:handle", workshop.path)
    assert error.problem == "shadowed"
    assert "rename" in str(error)


def test_a_function_that_is_not_there_is_refused_with_a_near_one(workshop):
    workshop.write(
        "tags_names.py", "def on_tags(event, context): ...\nclass App:\n    def handle(self): ...\napp = App()\n"
    )
    error = refusal("tags_names:on_tag", workshop.path)
    assert error.problem == "function_not_found"
    assert "did you mean 'on_tags'?" in str(error)
    assert "tags_names.py" in str(error)
    assert "there are: App, app, on_tags" not in str(refusal("tags_names:zzz", workshop.path))  # app is not callable
    assert "there are: App, on_tags" in str(refusal("tags_names:zzz", workshop.path))
    assert "'tags_names.app'" in str(refusal("tags_names:app.handel", workshop.path))


def test_a_module_whose_attributes_raise_is_refused(workshop):
    workshop.write("tags_getattr.py", "def __getattr__(name):\n    raise OSError('lazy')\n")
    error = refusal("tags_getattr:handle", workshop.path)
    assert error.problem == "import_failed"
    assert "OSError: lazy" in str(error)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("handle = {'a': 1}", "not_callable"),
        ("handle = None", "not_callable"),
        ("class handle:\n    def __call__(self, event, context): ...", "is_class"),
        ("def handle(event, context):\n    yield event", "is_generator"),
        ("async def handle(event, context):\n    yield event", "is_generator"),
        ("def handle(): ...", "arity"),
        ("def handle(event): ...", "arity"),
        ("def handle(event, context, extra): ...", "arity"),
        ("def handle(event, context, *, extra): ...", "arity"),
        ("def handle(event, *, context): ...", "arity"),
        ("handle = lambda event: None", "arity"),
        ("class App:\n    def __call__(self, event): ...\nhandle = App()", "arity"),
    ],
)
def test_what_cannot_be_called_with_event_and_context_is_refused(source, problem, workshop):
    workshop.write("tags_kinds.py", source)
    error = refusal("tags_kinds:handle", workshop.path)
    assert error.problem == problem
    assert "tags_kinds:handle" in str(error)


def test_the_refusal_of_one_argument_shows_the_signature_and_the_right_one(workshop):
    workshop.write("tags_arity.py", "def handle(event: dict) -> None: ...")
    message = str(refusal("tags_arity:handle", workshop.path))
    assert "tags_arity:handle(event: dict) -> None" in message
    assert "def handle(event, context)" in message


@pytest.mark.parametrize(
    "source",
    [
        ADAPTED,
        "def handle(*args): return 1",
        "def handle(event, *rest, **more): return 1",
        "def handle(event, context=None): return 1",
        "def handle(event, context, more=2): return 1",
        "def handle(e, c, /): return 1",
        "handle = lambda e, c: 1",
        "class App:\n    def __call__(self, event, context): return 1\nhandle = App()",
        "class App:\n    def on(self, event, context): return 1\nhandle = App().on",
        "class App:\n    @staticmethod\n    def on(event, context): return 1\nhandle = App.on",
        "import functools\ndef on(event, context, word): return 1\nhandle = functools.partial(on, word='x')",
        "async def handle(event, context): return 1",
    ],
)
def test_whatever_takes_event_and_context_is_taken(source, workshop):
    workshop.write("tags_taken.py", source)
    calls = Calls(load("tags_taken:handle", workshop.path))
    assert calls.call({}, context()) == 1
    calls.close()


# The interpreter itself may stand where nobody else may look: what it imports late is imported before.
AS_NOBODY = """
import importlib.metadata, os, sys
from pathlib import Path
from datahub_handler.runtime import LoadError, load
importlib.invalidate_caches()
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    load("tags_private:handle", Path(sys.argv[1]))
except LoadError as error:
    print(error.problem, error)
"""


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
@pytest.mark.parametrize("inner", [".", "inner"])
def test_a_directory_that_may_not_be_read_is_said(mode, inner):
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories are closed to other users
        Path(place).chmod(0o755)
        private = Path(place) / "private"
        (private / "inner").mkdir(parents=True)
        (private / "tags_private.py").write_text(GOOD)
        private.chmod(mode)
        try:
            command = [sys.executable, "-c", AS_NOBODY, str(private / inner)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        finally:
            private.chmod(0o700)
    assert said.startswith("module_not_found")
    assert str(private) in said
    if inner == ".":
        assert "may not read" in said


def test_links_that_go_in_a_circle_and_names_too_long_are_said(workshop):
    circle = workshop.path / "circle"
    circle.symlink_to(circle)
    assert "circle" in str(refusal("tag_sync:handle", circle))
    assert refusal("x" * 5_000 + ":handle", workshop.path).problem == "module_not_found"


# Calling


@pytest.fixture
def calling():
    made = []

    def make(handler):
        made.append(Calls(handler))
        return made[-1]

    yield make
    for calls in made:
        calls.close()


async def give(value):
    await asyncio.sleep(0)
    return value


class Asynchronous:
    async def __call__(self, event, context):
        return await give(event)


@pytest.mark.parametrize(
    "handler",
    [
        lambda event, context: event,
        lambda event, context: give(event),
        Asynchronous(),
        functools.partial(Asynchronous().__call__),
    ],
    ids=["plain", "returns an awaitable", "async __call__", "partial"],
)
def test_plain_and_asynchronous_handlers_answer_alike(handler, calling):
    assert calling(handler).call({"n": 1}, context()) == {"n": 1}


def test_a_thread_keeps_one_event_loop_for_all_its_calls_and_shares_it_with_no_other(calling):
    meeting = threading.Barrier(2)

    async def handler(event, context):
        return asyncio.get_running_loop()

    calls = calling(handler)

    def twice():
        first = calls.call({}, context())
        meeting.wait()
        return first, calls.call({}, context())

    with ThreadPoolExecutor(2) as pool:
        pairs = [done.result() for done in [pool.submit(twice), pool.submit(twice)]]
    assert all(first is second for first, second in pairs)
    assert pairs[0][0] is not pairs[1][0]


def test_closing_closes_every_threads_loop(calling):
    loops = []

    async def handler(event, context):
        loops.append(asyncio.get_running_loop())

    calls = calling(handler)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: calls.call({}, context()), range(6)))
        calls.close()
    assert loops
    assert all(loop.is_closed() for loop in loops)


def test_a_call_after_closing_gets_a_new_loop(calling):
    calls = calling(lambda event, context: give(1))
    assert calls.call({}, context()) == 1
    calls.close()
    assert calls.call({}, context()) == 1


def test_closing_does_not_wait_for_a_call_that_hangs(calling):
    inside, leave = threading.Event(), threading.Event()

    async def handler(event, context):
        inside.set()
        leave.wait(30)  # blocks its loop, as a handler should not

    calls = calling(handler)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(calls.call, {}, context())
        inside.wait(30)
        began = time.monotonic()
        calls.close()
        took = time.monotonic() - began
        leave.set()
        running.result()
    assert took < 15


def test_context_variables_reach_the_whole_call_and_end_with_it(calling):
    word = contextvars.ContextVar("word", default="none")
    seen = []

    async def later():
        seen.append(word.get())

    def handler(event, context):
        seen.append(word.get())
        word.set("mine")
        return later()

    calls = calling(handler)
    calls.call({}, context())
    calls.call({}, context())
    assert seen == ["none", "mine", "none", "mine"]
    assert word.get() == "none"


def test_a_coroutine_past_its_deadline_is_cancelled_and_its_stack_shows_where_it_waited(calling):
    cleaned = []

    async def handler(event, context):
        try:
            await asyncio.Event().wait()  # never
        finally:
            cleaned.append(True)

    calls = calling(handler)
    with pytest.raises(TimeoutError, match="at its deadline") as raised:
        calls.call({}, context(0.02))
    assert cleaned == [True]
    assert "await asyncio.Event().wait()" in fault_of(raised.value).stack


def test_a_handlers_own_timeout_stays_its_own(calling):
    async def handler(event, context):
        async with asyncio.timeout(0):
            await asyncio.sleep(30)

    with pytest.raises(TimeoutError) as raised:
        calling(handler).call({}, context())
    assert "deadline" not in str(raised.value)


def test_a_handler_that_answers_although_it_was_cancelled_has_answered(calling):
    async def handler(event, context):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "in time after all"

    assert calling(handler).call({}, context(0.02)) == "in time after all"


def test_a_loop_works_on_after_every_kind_of_exit(calling):
    async def handler(event, context):
        await asyncio.sleep(0)
        if event["error"] is not None:
            raise event["error"]
        return "works"

    calls = calling(handler)
    for error in (ValueError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            calls.call({"error": error}, context())
        assert calls.call({"error": None}, context()) == "works"


def test_a_plain_handler_may_run_a_loop_of_its_own(calling):
    calls = calling(lambda event, context: asyncio.run(give("own")))
    assert [calls.call({}, context()), calls.call({}, context())] == ["own", "own"]


# Faults


def caught(function):
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_fault_has_the_qualified_class_the_message_and_the_stack():
    class RefusedError(Exception): ...

    def fail():
        raise RefusedError("tag unknown")

    fault = fault_of(caught(fail))
    assert fault.kind.endswith("test_a_fault_has_the_qualified_class_the_message_and_the_stack.<locals>.RefusedError")
    assert fault.message == "tag unknown"
    assert 'raise RefusedError("tag unknown")' in fault.stack
    assert fault_of(KeyError("x")).kind == "KeyError"
    assert fault_of(KeyError("x")).message == "'x'"


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class ExitsError(Exception):
    def __str__(self):
        raise SystemExit


class OddError(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307 - that is what is wrong with it


class SlipperyError(Exception):
    @property
    def __cause__(self):
        raise RuntimeError("no cause")


@pytest.mark.parametrize("cls", [MuteError, ExitsError, OddError, SlipperyError])
def test_an_exception_that_cannot_be_printed_is_a_fault_all_the_same(cls):
    def fail():
        raise cls

    fault = fault_of(caught(fail))
    assert fault.kind.endswith(cls.__name__)
    assert fault.stack


def test_a_fault_is_bounded_and_keeps_both_ends_of_its_stack():
    def even(n):
        odd(n - 1)

    def odd(n):
        even(n - 1) if n > 0 else fail()

    def fail():
        raise ValueError("x" * 100_000 + " the end")

    fault = fault_of(caught(lambda: even(300)))
    assert len(fault.message) == 2_000
    assert len(fault.stack) == 8_000
    assert fault.stack.startswith("Traceback (most recent call last)")
    assert fault.stack.rstrip().endswith("the end")
    assert "characters left out" in fault.stack


def test_causes_and_groups_are_in_the_stack():
    def fail():
        try:
            _ = {}["inner"]
        except KeyError as error:
            raise ExceptionGroup("several", [ValueError("first"), TypeError("second")]) from error

    fault = fault_of(caught(fail))
    assert fault.kind == "ExceptionGroup"
    for word in ("KeyError: 'inner'", "ValueError: first", "TypeError: second"):
        assert word in fault.stack


def test_long_chains_wide_groups_and_deep_recursion_are_bounded():
    def chain():
        error = ValueError("0")
        for number in range(3_000):
            following = ValueError(str(number))
            following.__context__ = error
            error = following
        raise error

    def group():
        raise ExceptionGroup("wide", [ValueError(str(number)) for number in range(5_000)])

    def recurse():
        recurse()

    for function in (chain, group, recurse):
        assert 0 < len(fault_of(caught(function)).stack) <= 8_000


def test_frames_of_ours_and_of_the_event_loop_are_cut(calling):
    async def handler(event, context):
        raise ValueError("mine")

    stack = fault_of(caught(lambda: calling(handler).call({}, context())), own_files=(__file__,)).stack
    assert "runtime.py" not in stack
    assert "asyncio" not in stack
    assert stack.rstrip().endswith("ValueError: mine")
