"""The listener that stands for Amazon MSK's with IAM: who is known there, and what its settings are.

Real Kafka, real TLS, and the real signature; only the judge of tokens is ours, since MSK's cannot be had.
"""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from kafka.security import USER
from support.jars import program

REGION: Final = "eu-west-1"
MSK: Final = "MSK"
HERE: Final = Path(__file__).parent / "msk_iam"
FOREVER: Final = 2**33
SESSION_MS: Final = 6000
_LOGIN: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"


class Person(NamedTuple):
    """Credentials of AWS, good until `expires` (seconds since the epoch)."""

    access: str
    secret: str
    token: str | None
    expires: int


class People:
    """Who the brokers know; changes hold from the next token on. `apart` sets their clock apart, in seconds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._known: list[Person] = []
        self._apart = 0
        self._write()

    def made(self, lifetime: float | None = None, *, session: bool = True, known: bool = True) -> Person:
        """Somebody new, by default known to the brokers."""
        expires = FOREVER if lifetime is None else int(time.time() + lifetime)
        token = secrets.token_urlsafe(40) if session else None
        person = Person(f"ASIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30), token, expires)
        if known:
            self.let_in(person)
        return person

    def let_in(self, person: Person) -> None:
        """The brokers know this one from now on."""
        with self._lock:
            self._known.append(person)
            self._write()

    def times_let_in(self, person: Person) -> int:
        """How often somebody has authenticated."""
        said = self.file.with_name(f"{self.file.name}.let-in")
        return said.read_text().split().count(person.access) if said.exists() else 0

    def forget_all(self) -> None:
        """The brokers know nobody any more."""
        with self._lock:
            self._known.clear()
            self._write()

    def set_apart(self, seconds: int) -> None:
        """Let the brokers' clock be so far ahead of everybody else's."""
        with self._lock:
            self._apart = seconds
            self._write()

    def _write(self) -> None:
        lines = [f"clock {self._apart}"]
        lines += [f"{each.access} {each.secret} {each.token or '-'} {each.expires} {USER}" for each in self._known]
        draft = self.file.with_suffix(".draft")
        draft.write_text("\n".join(lines) + "\n")
        draft.replace(self.file)


class MskIam:
    """What a cluster needs for the listener: a compiled judge on its class path, and settings. Needs javac."""

    def __init__(self, directory: Path, libs: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.classes = directory
        self.people = People(directory / "people")
        command = [program("javac"), "-cp", f"{libs}/*", "-d", str(directory), str(HERE / "MskIamValidator.java")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"MskIamValidator.java was not compiled: {done.stderr[-2000:]}")

    def settings(self) -> dict[str, object]:
        """What a node's settings say of the listener."""
        of = f"listener.name.{MSK.lower()}"
        return {
            f"{of}.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{of}.oauthbearer.sasl.jaas.config": f'{_LOGIN} required unsecuredLoginStringClaim_sub="broker" '
            f'people="{self.people.file}" region="{REGION}";',
            f"{of}.oauthbearer.sasl.server.callback.handler.class": "MskIamValidator",
            # MSK too ends a connection that does not authenticate anew before its token ends; here sooner.
            f"{of}.oauthbearer.connections.max.reauth.ms": SESSION_MS,
        }
