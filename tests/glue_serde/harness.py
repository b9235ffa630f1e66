"""Glue-framed records from AWS's own Java serializer, so that framing is not tested against our own reading of it.

Compiles and runs Encode.java. Knows nothing of DataHub's events; the registry is whatever answers at the endpoint.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from support.jars import program, resolve
from support.moto_server import REGION, REGISTRY, MotoServer

HERE = Path(__file__).parent
PATIENCE = 60.0
_INT = struct.Struct(">i")

Compression = Literal["NONE", "ZLIB"]


def glue_serde_libs(environ: Mapping[str, str]) -> Path:
    """The folder with the serializer's jars, fetched by Maven. Raises UnavailableError."""
    program("java")
    program("javac")
    return resolve("glue-serde", HERE / "pom.xml", environ)


class GlueJava:
    """The compiled serializer beside the registry it registers schemas with."""

    def __init__(self, server: MotoServer, libs: Path, directory: Path) -> None:
        self.server = server
        self._libs = libs
        self._directory = directory
        command = [program("javac"), "-cp", f"{libs}/*", "-d", str(directory), str(HERE / "Encode.java")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise RuntimeError(f"Encode.java was not compiled: {done.stderr[-2000:]}")

    def frame(self, schema: str, bodies: Sequence[bytes], topic: str, compression: Compression) -> list[bytes]:
        """Avro bodies written with the schema (a JSON text), framed; the schema is registered under the topic's name.

        One run of Java for all of them: about a second and a half, and little more for a thousand.
        """
        text = self._directory / "schema.avsc"
        text.write_text(schema, encoding="utf-8")
        settings = {
            "region": REGION,
            "endpoint": self.server.url,
            "dataFormat": "AVRO",
            "avroRecordType": "GENERIC_RECORD",
            "schemaAutoRegistrationEnabled": "true",
            "registry.name": REGISTRY,
            "schemaName": topic,
            "compression": compression,
        }
        classes = os.pathsep.join((f"{self._libs}/*", str(self._directory)))
        command = [program("java"), "-XX:TieredStopAtLevel=1", "-cp", classes, "Encode", str(text), topic]
        command += [f"{key}={value}" for key, value in settings.items()]
        done = subprocess.run(
            command,
            input=_INT.pack(len(bodies)) + b"".join(_prefixed(bodies)),
            capture_output=True,
            env=MotoServer.environment(),
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the serializer ended with {done.returncode}: {done.stderr.decode()[-3000:]}")
        framed = list(_split(done.stdout))
        if len(framed) != len(bodies):
            raise RuntimeError(f"{len(bodies)} records in, {len(framed)} out: {done.stderr.decode()[-3000:]}")
        return framed


def _prefixed(bodies: Iterable[bytes]) -> Iterator[bytes]:
    for body in bodies:
        yield _INT.pack(len(body)) + body


def _split(stream: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(stream):
        (length,) = _INT.unpack_from(stream, at)
        at += _INT.size + length
        yield stream[at - length : at]
