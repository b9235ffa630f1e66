"""From a handler's name in an action file to the function itself, or to an error that says what to do about it.

Standard library only. It must not know the poller, nor which key of which file the name stood in.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, cast

from datahub_handler.contract import Context, Response
from datahub_handler.faults import fault_of, reached, stack_of

Handler = Callable[[dict[str, Any], Context], Response | None]
"""What `load` gives. An `async def` handler gives an awaitable of the response instead."""

Problem = Literal[
    "malformed",
    "reserved",
    "shadowed",
    "module_not_found",
    "dependency_not_found",
    "syntax",
    "import_failed",
    "function_not_found",
    "not_callable",
    "is_class",
    "is_generator",
    "arity",
]

_OURS = ("datahub_handler", "datahub_poller")
_OURS_TO_CALL = ("datahub_handler.examples", "datahub_poller.demo")
_SIGNATURE = "def handle(event, context)"


class LoadError(Exception):
    """A handler that cannot be loaded. The message names the handler and the remedy."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


class Name(NamedTuple):
    """A handler's name, taken apart: `pkg.module` and `function`, or `object.method`."""

    module: str
    function: str


def parse(name: str) -> Name:
    """`module:function`, or Lambda's `module.function`, whose module may be written with slashes."""
    module, colon, function = name.rpartition(":") if ":" in name else name.rpartition(".")
    if not colon or not module or not function:
        raise LoadError(
            "malformed", f"{name!r} names no function: write it as module:function, such as tag_sync:handle"
        )
    if module.endswith(".py") or name.endswith(".py"):
        raise LoadError("malformed", f"{name!r} names a file: write the module without .py, such as tag_sync:handle")
    parts = module.replace("/", ".").split(".")
    if not all(part and part == part.strip() and not set(part) & set(":\0\\") for part in parts):
        raise LoadError(
            "malformed",
            f"{name!r} has an impossible module {module!r}: write names with single dots between them, "
            "and give the directory by path",
        )
    if not all(part.isidentifier() for part in function.split(".")):
        raise LoadError("malformed", f"{name!r} has an impossible function name {function!r}")
    return Name(".".join(parts), function)


def load(name: str, path: Path) -> Handler:
    """Import the handler `name`, from the directory `path` or from what is installed, and check that it can be called.

    `path` joins the end of `sys.path` for good, so that the handler may import its neighbours when it runs.
    Raises LoadError.
    """
    module_name, function_name = parse(name)
    _refuse_reserved(module_name)
    directory = _directory(path)
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    importlib.invalidate_caches()
    file = _file_of(module_name, directory)
    if file is not None:
        _refuse_shadowed(module_name, directory, file)
    module = _imported(module_name, directory)
    if file is not None and not _same(getattr(module, "__file__", None), file):
        raise _shadowed(file, getattr(module, "__file__", None))
    function = _found(module, function_name)
    _check_callable(function, f"{module_name}:{function_name}")
    return cast("Handler", function)  # it takes two arguments, which is all that can be known


def _refuse_reserved(module_name: str) -> None:
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        raise LoadError(
            "reserved", f"{top!r} is a module of Python's own library: rename your file, for example to my_{top}.py"
        )
    if top in _OURS and not f"{module_name}.".startswith(tuple(f"{ours}." for ours in _OURS_TO_CALL)):
        raise LoadError("reserved", f"{top!r} is the poller's own package: rename yours")


def _directory(path: Path) -> Path:
    try:
        directory = path.resolve()
        if directory.is_dir():
            return directory
        why = "is not a directory"
    except (OSError, RuntimeError) as error:  # no right to look, or links that go in a circle
        directory, why = path.absolute(), f"cannot be read ({error})"
    raise LoadError("module_not_found", f"the handler's path {directory} {why}: correct it")


def _file_of(module_name: str, directory: Path) -> Path | None:
    """The source file that the name means in this directory, if there is one."""
    base = directory.joinpath(*module_name.split("."))
    for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        with suppress(OSError):  # what may not be looked at is not there; the message says so later
            if file.is_file():
                return file
    return None


def _refuse_shadowed(module_name: str, directory: Path, file: Path) -> None:
    """Before anything is run: an installed module, or one loaded already, of the same name would come first."""
    top = module_name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # loaded already, in a way that leaves no trace of where from
        raise _shadowed(file, None) from None
    if spec is None:
        return
    places: Iterable[str] = spec.submodule_search_locations or [spec.origin or ""]
    if not any(Path(place).parent.resolve() == directory for place in places):
        raise _shadowed(file, spec.origin or next(iter(places), None))


def _shadowed(file: Path, other: str | None) -> LoadError:
    return LoadError(
        "shadowed",
        f"{file} is hidden by another module of the same name, {other or 'loaded before'}: rename your file",
    )


def _same(loaded: str | None, file: Path) -> bool:
    return loaded is not None and Path(loaded).exists() and file.samefile(loaded)


def _imported(module_name: str, directory: Path) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except KeyboardInterrupt:  # a user who has had enough of waiting for a slow import
        raise
    except ModuleNotFoundError as error:
        if reached(error):
            raise _dependency_not_found(module_name, directory, error) from None
        raise _module_not_found(module_name, directory) from None
    except SyntaxError as error:
        line = f" ({error.text.strip()[:200]})" if error.text else ""
        raise LoadError("syntax", f"{error.filename}:{error.lineno}: {error.msg}{line}: correct it") from None
    except BaseException as error:  # noqa: BLE001 - the module's own code may raise anything, SystemExit too
        raise _import_failed(module_name, error, directory) from None


def _module_not_found(module_name: str, directory: Path) -> LoadError:
    wanted = module_name.replace(".", "/")
    text = f"there is no module {module_name!r}: looked for {wanted}.py and {wanted}/__init__.py in {directory}"
    if not os.access(directory, os.R_OK | os.X_OK):
        return LoadError("module_not_found", f"{text}, which the poller's user may not read: give it the right to")
    near = _near(module_name.rpartition(".")[2], _modules_beside(module_name, directory))
    return LoadError("module_not_found", f"{text}, and among the installed packages{near}")


def _modules_beside(module_name: str, directory: Path) -> list[str]:
    package = directory.joinpath(*module_name.split(".")[:-1])
    return [entry.stem for entry in package.glob("*.py")] + [
        entry.parent.name for entry in package.glob("*/__init__.py")
    ]


def _dependency_not_found(module_name: str, directory: Path, error: ModuleNotFoundError) -> LoadError:
    return LoadError(
        "dependency_not_found",
        f"{module_name!r} imports {error.name!r}, which is not there ({_last_line(error)}): install it where "
        f"the poller is installed, or put it into {directory}",
    )


def _import_failed(module_name: str, error: BaseException, directory: Path) -> LoadError:
    fault = fault_of(error)
    if isinstance(error, SystemExit):
        why = 'it ends the process when it is imported: put that under `if __name__ == "__main__":`'
    else:
        why = f"{fault.kind}: {fault.message} ({_place(error, directory)})"
    return LoadError("import_failed", f"{module_name!r} cannot be imported: {why}\n{fault.stack}".rstrip())


def _place(error: BaseException, directory: Path) -> str:
    """File and line of the innermost frame below the directory, which is the user's; else of the innermost frame."""
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).is_relative_to(directory)
    ]
    return own[-1] if own else _last_line(error)


def _last_line(error: BaseException) -> str:
    """File and line of the innermost frame of the user's own code."""
    lines = [line.strip() for line in stack_of(error).splitlines() if line.lstrip().startswith("File ")]
    return lines[-1] if lines else "somewhere"


def _found(module: ModuleType, function_name: str) -> object:
    value: object = module
    for depth, part in enumerate(function_name.split(".")):
        try:
            value = getattr(value, part)
        except Exception as error:  # noqa: BLE001 - a module's own __getattr__ may raise anything
            if not isinstance(error, AttributeError):
                raise _import_failed(
                    module.__name__, error, Path(str(getattr(module, "__file__", ""))).parent
                ) from None
            owner = ".".join([module.__name__, *function_name.split(".")[:depth]])
            raise LoadError(
                "function_not_found",
                f"{owner!r} ({getattr(module, '__file__', 'no file')}) has no {part!r}{_near(part, _offered(value))}",
            ) from None
    return value


def _offered(value: object) -> list[str]:
    names = getattr(value, "__dict__", {})
    return [name for name, item in names.items() if callable(item) and not name.startswith("_")]


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(sorted(names)[:10])}" if names else ""


def _check_callable(function: object, name: str) -> None:
    if inspect.isclass(function):
        raise LoadError("is_class", f"{name} is a class: name a function, {_SIGNATURE}, or an instance of the class")
    if not callable(function):
        raise LoadError("not_callable", f"{name} is of type {type(function).__name__}: name a function, {_SIGNATURE}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise LoadError("is_generator", f"{name} yields, so that a call of it does nothing: return a response instead")
    try:
        # Not what a decorator wraps but the decorator itself is called.
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):  # written in C, without a signature: the first call will tell
        return
    try:
        signature.bind({}, None)
    except TypeError as error:
        raise LoadError(
            "arity", f"{name}{signature} cannot be called with event and context ({error}): write {_SIGNATURE}"
        ) from None
