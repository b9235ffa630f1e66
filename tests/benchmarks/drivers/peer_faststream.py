"""FastStream on confluent-kafka: a batch subscriber with the shared decoder; it commits after each call."""

from __future__ import annotations

import asyncio
from typing import Any

from decoding import Decoder
from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from meter import Meter, settings

RUN = settings()
DECODE = Decoder(RUN.registry)
METER = Meter(RUN)
BROKER = KafkaBroker(RUN.bootstrap, logger=None)


async def decoded(message: Any) -> list[Any]:
    METER.begin()
    return [DECODE(record.value()) for record in message.raw_message]


@BROKER.subscriber(
    *RUN.topics,
    batch=True,
    max_records=RUN.batch,
    group_id=RUN.group,
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
    decoder=decoded,
    polling_interval=0.5,
)
async def handle(batch: list) -> None:  # type: ignore[type-arg]  # read at run time
    METER.add(len(batch))


async def main() -> None:
    async with BROKER:
        await BROKER.start()
        await asyncio.get_running_loop().run_in_executor(None, METER.stay)


if __name__ == "__main__":
    asyncio.run(main())
