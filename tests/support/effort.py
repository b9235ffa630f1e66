"""How hard hypothesis looks: little and always the same by default, so that a failure shows within seconds.

HYPOTHESIS_PROFILE=long looks in new places, takes its time, and shrinks what it finds to the smallest case.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import Phase, settings

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def effort(examples: int, **more: Any) -> settings:
    """So many examples, unshrunk; in the long profile ten times as many, shrunk."""
    if LONG:
        return settings(max_examples=10 * examples, **more)
    return settings(max_examples=examples, phases=(Phase.explicit, Phase.generate), **more)
