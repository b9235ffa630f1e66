"""A member in a process of its own, to be frozen: `python frozen.py BOOTSTRAP GROUP TOPIC PROTOCOL`.

Writes a line of JSON for everything it is told. Each line that it reads, `N M`, makes it commit for partition 0: N
waiting for the answer, then M without. The end of what it reads ends it.
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from broker_facts.raw import COOPERATIVE, KIP_848, RANGE, Raw

PROTOCOLS = {"range": RANGE, "cooperative": COOPERATIVE, "kip-848": KIP_848}


def say(*words: object) -> None:
    print(json.dumps(words), flush=True)


def run(bootstrap: str, group: str, topic: str, protocol: str) -> None:
    session = {} if protocol == "kip-848" else {"session_timeout_ms": 2000}
    member = Raw(bootstrap, group, topic, PROTOCOLS[protocol], **session).join()
    told = answers = 0
    while True:
        for name, partitions in member.told[told:]:
            say(name, partitions)
        for answer in member.answers[answers:]:
            say("sent", answer.error)
        told, answers = len(member.told), len(member.answers)
        if select.select([sys.stdin], [], [], 0)[0]:
            match sys.stdin.readline().split():
                case [waited, sent]:
                    say("waited", member.commit({0: int(waited)}).get(-1))
                    member.send_commit({0: int(sent)})
                case _:
                    break
        member.turn(timeout=0.02)
    member.close()


if __name__ == "__main__":
    run(*sys.argv[1:])
