"""Which subject a test file is about: `make test AREA=dead-letters` runs the tests of one. Pure."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import PurePath
from typing import Final

AREAS: Final = {
    "action-file": """
        unit/action_file_option unit/config* unit/choice unit/scaffold unit/lazy_imports_run
        unit/proxies properties/config integration/check integration/commands
        integration/expansion_like_datahub integration/init integration/run_imports
        integration/secrets_in_outputs integration/faults_secrets integration/printing
        unit/standard_output
        """,
    "decoding": """
        unit/datahub_envelopes unit/doubts unit/filter* unit/framing* unit/intake unit/reader
        unit/registr* unit/schemas unit/event_line properties/directly properties/doubts
        properties/filters properties/framing properties/reader_oracle simulation/doubts
        integration/end_to_end_guids integration/filters_like_datahub integration/glue_*
        integration/parity_datahub integration/registries_moto integration/schema_changes
        integration/faults_registry integration/failure_table_records integration/end_to_end_events
        """,
    "dead-letters": """
        unit/dead_letters unit/file_* unit/jobs unit/kafka_headers unit/kafka_sink unit/letter*
        unit/produce_words unit/redrive_* unit/s3_objects unit/sqs_messages properties/file_letters
        properties/redrive integration/dead_letters_* integration/file_sink_* integration/letters_whole*
        integration/redrive_* integration/sink_* integration/store_* integration/faults_halt_and_sink
        """,
    "delivery": """
        unit/appetite unit/breaker unit/commits unit/contract unit/handler_testing unit/lanes
        unit/policy unit/python_invoker unit/runtime unit/signals unit/workers unit/own_log
        unit/source_patience properties/batching properties/delivery_machine properties/policy
        properties/taking simulation/interleavings simulation/named simulation/retry_rules
        simulation/review_buffer integration/crashes integration/failure_table_*
        integration/faults_handler integration/handler_* integration/processes integration/stop
        integration/hanging_loop unit/processes
        """,
    "kafka": """
        unit/client_log unit/fatal_errors unit/gaps unit/group* unit/kafka_ports unit/kafka_records
        unit/msk_iam unit/oauth unit/start unit/topic_ids properties/beginnings
        simulation/topic_made_anew contract/* broker_facts/* guarantees/beginnings
        integration/end_to_end_group integration/fatal_errors integration/faults_broker
        integration/group_log_kafka integration/kafka_cluster integration/mock_cluster
        integration/msk_iam integration/review_source integration/security_*
        """,
    "operating": """
        unit/emf unit/explaining unit/listening unit/logs unit/metrics unit/orders unit/readiness
        unit/report unit/slow_start unit/snapshot_cost unit/status unit/stuck unit/tail* unit/wait*
        unit/demo_* simulation/explained simulation/figures simulation/orders simulation/review_status
        simulation/waits integration/demo_* integration/emf_lines integration/healthz
        integration/metrics* integration/orders integration/status_* integration/tail_command
        integration/waiting_told
        """,
    "deployment": """
        unit/aws_agent unit/infra_* unit/pages_commands unit/protection unit/recorded_calls
        unit/rights_judge unit/template_rights integration/first_process integration/infra_*
        integration/recorded_calls integration/scale_in_protection integration/wheel recorded_calls/*
        """,
    "proofs": """
        unit/benchmark_* unit/guarantee_* unit/imports unit/readme unit/shape unit/areas
        properties/guarantee_oracles guarantees/broken_pollers guarantees/cells integration/benchmark
        integration/guarantee_* compare_loss/*
        """,
}
"""Patterns of `folder/name`, as in `folder/test_name.py`. The first area with one that fits is a file's."""


def area_of(path: PurePath) -> str | None:
    """The area of a test file, by its path; None where no pattern fits."""
    name = f"{path.parent.name}/{path.stem.removeprefix('test_')}"
    for area, patterns in AREAS.items():
        if any(fnmatch(name, pattern) for pattern in patterns.split()):
            return area
    return None
