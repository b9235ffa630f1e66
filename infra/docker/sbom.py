"""What the image is made of, as one CycloneDX document: Debian's packages, Python's, and what neither lists.

`sbom.py SYSTEM PYTHON INTERPRETER TO`: two documents of the tools that look, the environment's Python, and the result.
It adds Python itself (an official image builds it from source), librdkafka (inside of a wheel), and what wheels say of
their own compiled parts. What comes out is held against CycloneDX's schema, or the build fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

NAME: Final = "datahub-poller"
_UPSTREAM: Final = {
    "python": ("pkg:generic/python", "cpe:2.3:a:python:python"),
    "librdkafka": ("pkg:github/confluentinc/librdkafka", "cpe:2.3:a:confluent:librdkafka"),
}
"""Under which names they are looked up: a package URL and a CPE, without the version."""
_ASK: Final = """
import importlib.metadata as m, json, pathlib, platform, sysconfig, confluent_kafka
carried = pathlib.Path(sysconfig.get_path("purelib")).glob("*.dist-info/sboms/*.json")
print(json.dumps({
    "python": platform.python_version(),
    "librdkafka": confluent_kafka.libversion()[0],
    "version": m.version("datahub-poller"),
    "carried": sorted(map(str, carried)),
}))
"""


def main(system: str, python: str, interpreter: str, to: str) -> int:
    """Write the document; 1 where the schema refuses it."""
    asked = subprocess.run([interpreter, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    text = json.dumps(merged(read(system), read(python), json.loads(asked.stdout)), indent=1)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        sys.stderr.write(f"sbom.py: not of CycloneDX's schema: {wrong}\n")
        return 1
    Path(to).write_text(text, "utf-8")
    return 0


def read(path: str) -> dict[str, Any]:
    """A document."""
    document: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return document


def merged(system: dict[str, Any], python: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """One document of both, with the image as what they describe."""
    own = [
        upstream("python", facts["python"], "pkg:generic/python", "cpe:2.3:a:python:python"),
        upstream(
            "librdkafka", facts["librdkafka"], "pkg:github/confluentinc/librdkafka", "cpe:2.3:a:confluent:librdkafka"
        ),
    ]
    packages = [each for each in python["components"] if each["name"] != NAME]
    parts = [*system["components"], *packages, *own, *carried(facts["carried"])]
    distribution = system["metadata"]["component"]
    image = {"type": "container", "bom-ref": NAME, "name": NAME, "version": facts["version"]}
    tools = [tool for each in (system, python) for tool in each["metadata"]["tools"]["components"]]
    direct = [distribution["bom-ref"], *(each["bom-ref"] for each in (*packages, *own))]
    known = {each["bom-ref"] for each in (distribution, *parts)}
    depends = [each for each in (*system["dependencies"], *python["dependencies"]) if each["ref"] in known]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": system["metadata"]["timestamp"],
            "component": image,
            "tools": {"components": tools},
        },
        "components": [distribution, *parts],
        "dependencies": [{"ref": NAME, "dependsOn": direct}, *depends],
    }


def upstream(name: str, version: str, purl: str, cpe: str) -> dict[str, Any]:
    """A component that no package manager tells of."""
    where = f"{purl}@{version}"
    return {
        "type": "library",
        "bom-ref": where,
        "name": name,
        "version": version,
        "purl": where,
        "cpe": f"{cpe}:{version}:*:*:*:*:*:*:*",
    }


def carried(paths: list[str]) -> list[dict[str, Any]]:
    """What wheels say of their own compiled parts (PEP 770); references are made unlike all others."""
    found: list[dict[str, Any]] = []
    for path in paths:
        wheel = Path(path).parents[1].name.removesuffix(".dist-info")
        document = Path(path).name.partition(".")[0]
        for number, each in enumerate(read(path).get("components", ())):
            kept = {key: each[key] for key in ("type", "name", "version", "purl", "cpe", "licenses") if key in each}
            inside = {"name": "datahub-poller:inside", "value": wheel}
            found.append({**kept, "bom-ref": f"{wheel}/{document}#{number}", "properties": [inside]})
    return found


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
