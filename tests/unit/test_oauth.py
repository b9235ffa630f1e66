"""The user's `oauth_cb`: found at once, asked at once, and every failure in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.oauth import TokenSource
from support.handlers import HandlerDirectory, handler_directory

NOW = 1_000.0


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerDirectory]:
    with handler_directory(tmp_path / "tokens") as directory:
        monkeypatch.syspath_prepend(str(directory.path))
        yield directory


def source(directory: HandlerDirectory, body: str, config: str = "") -> TokenSource:
    directory.write("tokens_of_mine.py", textwrap.dedent(body))
    return TokenSource("tokens_of_mine:token", config, wall=lambda: NOW)


def test_the_first_token_is_fetched_once_and_handed_out_first(directory: HandlerDirectory) -> None:
    tokens = source(
        directory,
        """
        calls = []
        def token(config):
            calls.append(config)
            return f"token-{len(calls)}", 2_000.0
        """,
        config="scope=a",
    )
    assert [tokens("scope=a")[0] for _ in range(3)] == ["token-1", "token-2", "token-3"]


def test_principal_and_extensions_are_passed_on(directory: HandlerDirectory) -> None:
    tokens = source(directory, "def token(config):\n    return 't', 2_000, 'me', {'logicalCluster': 'x'}\n")
    assert tokens("") == ("t", 2_000, "me", {"logicalCluster": "x"})


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "not NoneType"),
        ("'just-a-token'", "not str"),
        ("('t',)", "not (str)"),
        ("(b't', 2_000)", "not (bytes, int)"),
        ("('t', '2000')", "not (str, str)"),
        ("('t', True)", "not (str, bool)"),
        ("('t', 999.0)", "its token has expired (at 999 s"),
        ("('t', float('nan'))", "expired"),
    ],
)
def test_what_is_no_token_is_told_without_showing_it(returned: str, says: str, directory: HandlerDirectory) -> None:
    with pytest.raises(CannotStart) as caught:
        source(directory, f"def token(config):\n    return {returned}\n")
    message = str(caught.value)
    assert message.startswith(
        "source.config.connection.consumer_config.oauth_cb: 'tokens_of_mine:token' gives no token"
    )
    assert says in message
    assert "just-a-token" not in message


def test_a_failure_later_on_is_logged_and_left_to_the_client(
    directory: HandlerDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = source(
        directory,
        """
        calls = []
        def token(config):
            calls.append(config)
            if len(calls) == 2:
                raise OSError("no metadata service")
            return "t", 2_000.0
        """,
    )
    tokens("")
    with pytest.raises(OSError, match="no metadata service"):
        tokens("")
    assert tokens("")[0] == "t"
    assert [record.message for record in caplog.records] == ["oauth_cb gives no token"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "has no attribute 'token'"),
        ("token = 'abc'", "is no function: it is of type str"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("def token(:", "SyntaxError"),
        ("raise KeyError('AWS_REGION')", "KeyError: 'AWS_REGION'"),
    ],
)
def test_a_function_that_cannot_be_had_is_told(body: str, says: str, directory: HandlerDirectory) -> None:
    with pytest.raises(CannotStart, match="oauth_cb") as caught:
        source(directory, body)
    assert says in str(caught.value)
