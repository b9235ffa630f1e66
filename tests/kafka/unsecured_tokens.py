"""An `oauth_cb` for the test cluster's OAUTHBEARER, to name in an action file: unsigned tokens for whoever asks.

Imports nothing but the standard library, so that it can be copied next to an action file. It goes by what the property
sasl.oauthbearer.config says, such as `principal=poller lifetime=60`, and first by a file `token-plan.json` beside it:
{"lifetime": seconds, "scope": "...", "raise": "text"}. While that is there, every call is a line in
`tokens.log`.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

PLAN = Path(__file__).parent / "token-plan.json"
ASKED = Path(__file__).parent / "tokens.log"
SCOPE = "kafka"
"""What the test cluster wants in a token; without it, it refuses the token."""


def token(config: str) -> tuple[str, float]:
    """A token, and when it expires in seconds since the epoch."""
    said: dict[str, Any] = dict(word.split("=", 1) for word in config.split())
    said |= json.loads(PLAN.read_text()) if PLAN.exists() else {}
    if PLAN.exists():
        with ASKED.open("a") as log:
            log.write(f"{json.dumps(said)}\n")
    if "raise" in said:
        raise RuntimeError(said["raise"])
    now = time.time()
    expires = now + float(said.get("lifetime", 3600))
    claims = {"sub": said.get("principal", "poller"), "iat": now, "exp": expires, "scope": said.get("scope", SCOPE)}
    return f"{_part({'alg': 'none'})}.{_part(claims)}.", expires


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
