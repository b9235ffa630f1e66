"""From bytes to DataHub's events: framing, schemas by id, Avro, envelopes. Knows only values and error kinds."""
