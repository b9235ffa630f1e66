"""The loop that anyone would write by hand, at its best: consume a batch, decode each value, commit.

librdkafka's two settings are those without which it stops for a second whenever its queue is full.
"""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition
from meter import Meter, settings

TUNED = {"fetch.queue.backoff.ms": 10, "queued.max.messages.kbytes": 16384}


def main() -> None:
    run = settings()
    consumer = Consumer(
        {
            "bootstrap.servers": run.bootstrap,
            "group.id": run.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **TUNED,
            **({} if run.session_ms is None else {"session.timeout.ms": run.session_ms}),
        }
    )
    meter = Meter(run)
    meter.commits = 0
    if run.work == "decode":
        from decoding import Decoder

        work = Decoder(run.registry)
    else:
        work = len
    consumer.subscribe(run.topics)
    while True:
        # Never more than are left: the client would wait out its time for a batch that cannot fill.
        messages = consumer.consume(min(run.batch, run.events - meter.events), 0.5)
        if not messages:
            continue
        meter.begin()
        offsets: dict[tuple[str, int], int] = {}
        done = []
        fields = 0
        for message in messages:
            if message.error() is not None:
                raise SystemExit(message.error().str())
            done.append(work(message.value()))
            offsets[message.topic(), message.partition()] = message.offset() + 1
        for each in done:  # as a handler would: it looks at every event
            fields += len(each) if run.work == "decode" else 1
        commit = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        consumer.commit(offsets=commit, asynchronous=run.commit == "async")
        meter.commits += 1
        if meter.add(len(done)):
            meter.stay()
            return


if __name__ == "__main__":
    main()
