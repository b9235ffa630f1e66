"""Which values of an action file are secret, by the names of their keys, and how they are masked.

Pure. Must not know the models: it works on plain maps and paths, so that it holds for every key there will be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

MASK = "********"
MIN_SECRET = 4
"""Shorter secrets are masked where they stand, but not hunted for in other texts: they would blot out everything."""

_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|private|apikey|api.key|access.key|key.pem|user.?info|jaas"
    r"|authoriz|\.pem$|ssl_key|ssl_certificate|ssl_ca$|kinit\.cmd|oauthbearer\.config|keystore\.key|certificate\.chain"
    r"|truststore\.certificates"
)
_HARMLESS_NAME = re.compile(
    r"(\.|_)(url|uri|source|location|path|file|dir|method|scope|type|algorithm|name|id|include|seconds|aud|iss|sub)$"
)
_SECRET_SECTION = frozenset({"auth", "extra_headers"})
_USER_INFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^/\s@?#]*)@")


def looks_secret(name: str) -> bool:
    """Is a value of this name (of a key, or of an environment variable) secret?"""
    plain = name.lower()
    dotted = plain.replace("_", ".")
    if _HARMLESS_NAME.search(dotted):
        return False
    return bool(_SECRET_NAME.search(plain) or _SECRET_NAME.search(dotted))


def is_secret(path: Sequence[str | int]) -> bool:
    """Is the value at this path secret? Whatever lies below a secret key is."""
    names = [part for part in path if isinstance(part, str)]
    if names[:1] == ["datahub"] and _SECRET_SECTION.intersection(names):
        return True
    return names[:1] not in (["filters"], ["filter"]) and any(looks_secret(name) for name in names)


def masked(value: Any, path: tuple[str | int, ...] = (), known: frozenset[str] = frozenset()) -> Any:
    """A copy of plain data with every secret replaced: by its key, as user info of a URL, or as one of `known`."""
    match value:
        case Mapping():
            return {key: masked(item, (*path, str(key)), known) for key, item in value.items()}
        case list() | tuple():
            return [masked(item, (*path, index), known) for index, item in enumerate(value)]
        case None | bool():
            return value
    if is_secret(path):
        return MASK
    text = without_user_info(value) if isinstance(value, str) else ""
    return MASK if any(secret in text for secret in known) else text if isinstance(value, str) else value


def without_user_info(text: str) -> str:
    """The text with the user info of every URL in it masked."""
    return _USER_INFO.sub(lambda match: f"{match['scheme']}{MASK}@", text)


def secret_literals(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """Every secret text in plain data that is long enough to be hunted for."""
    match value:
        case Mapping():
            for key, item in value.items():
                yield from secret_literals(item, (*path, str(key)))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from secret_literals(item, (*path, index))
        case None | bool():
            return
        case _:
            text = str(value)
            yield from long_enough(_parts(text) if is_secret(path) else _user_info(text))


def long_enough(texts: Iterable[str]) -> Iterator[str]:
    """The texts that are long enough to be hunted for in other texts."""
    return (text for text in texts if len(text) >= MIN_SECRET)


def _parts(secret: str) -> Iterator[str]:
    """A secret, and the password of a `user:password` pair by itself."""
    yield secret
    _, colon, password = secret.partition(":")
    if colon and "://" not in secret and "\n" not in secret:
        yield password


def _user_info(text: str) -> Iterator[str]:
    for match in _USER_INFO.finditer(text):
        for part in (match["user"], unquote(match["user"])):
            yield from _parts(part)
