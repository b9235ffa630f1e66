"""aiokafka: getmany, the shared decoder, a commit for each batch (it awaits the answer: it has no other)."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from decoding import Decoder
from meter import Meter, settings


async def main() -> None:
    run = settings()
    decode = Decoder(run.registry)
    meter = Meter(run)
    meter.commits = 0
    consumer = AIOKafkaConsumer(
        *run.topics,
        bootstrap_servers=run.bootstrap,
        group_id=run.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while True:
        got = await consumer.getmany(timeout_ms=500, max_records=run.batch)
        if not got:
            continue
        meter.begin()
        done = [decode(record.value) for records in got.values() for record in records]
        await consumer.commit()
        meter.commits += 1
        if meter.add(len(done)):
            break
    await asyncio.get_running_loop().run_in_executor(None, meter.stay)


if __name__ == "__main__":
    asyncio.run(main())
