"""A made-up company's week in DataHub, told as events: tables appear, get tags, owners, columns, profiles, lineage.

Seeded: one seed, one story, to the byte. Each chapter gives the events that DataHub gives for such a change,
in the same order: the metadata change log first, then what it means. Knows no Kafka and no bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final

from datahub_poller.demo.samples import Sample, entity_change
from datahub_poller.demo.world import BEGINNING_MS, PEOPLE, Table, World

_SYSTEM: Final = "urn:li:corpuser:__datahub_system"
_TABLES_AT_FIRST: Final = 3
_NEW_TABLE: Final = 0.1
_TAGS: Final = ("Pii", "Finance", "Tier1", "Gold", "NeedsReview", "CustomerFacing")
_DOMAINS: Final = ("Finance", "Sales", "Marketing", "Logistics")
_COLUMNS: Final = (
    "id", "customer_id", "email", "amount", "currency", "status", "created_at", "updated_at", "country",
    "discount", "quantity", "is_refunded", "channel", "invoice_no", "region", "shipped_at", "tax", "score",
)  # fmt: skip
_TABLES: Final = (
    ("snowflake", "finance.public.invoices"),
    ("snowflake", "finance.public.payments"),
    ("snowflake", "sales.public.orders"),
    ("snowflake", "sales.public.customers"),
    ("bigquery", "acme-prod.marketing.campaigns"),
    ("bigquery", "acme-prod.marketing.clicks"),
    ("bigquery", "acme-prod.logistics.shipments"),
    ("bigquery", "acme-prod.logistics.returns"),
    ("snowflake", "sales.mart.revenue_by_day"),
    ("bigquery", "acme-prod.mart.funnel"),
)


def story(seed: int = 7) -> Iterator[Sample]:
    """Events without end, in the order in which they happened: a few tables first, more of them later."""
    chance = random.Random(seed)  # noqa: S311 - it tells a story, it keeps no secret
    world = World(chance)
    while True:
        world.now += chance.randrange(2_000, 90_000)
        number = len(world.tables)
        if number < len(_TABLES) and (number < _TABLES_AT_FIRST or chance.random() < _NEW_TABLE):
            world.tables.append(Table(*_TABLES[number]))
            yield from _created(world, world.tables[-1])
        (chapter,) = chance.choices(list(_CHAPTERS), list(_CHAPTERS.values()))
        yield from chapter(world, chance.choice(world.tables))


def events(count: int, seed: int = 7) -> list[Sample]:
    """The first `count` events of a story."""
    return list(islice(story(seed), count))


def ownership(urn: str, owner: str, actor: str = "urn:li:corpuser:ana.lopez", time: int = BEGINNING_MS) -> Sample:
    """The single event that `owner` now owns `urn`."""
    return entity_change(
        {
            "entityUrn": urn,
            "entityType": urn.split(":")[2],
            "category": "OWNERSHIP",
            "operation": "ADD",
            "modifier": owner,
            "parameters": {"ownerUrn": owner, "ownerType": "TECHNICAL_OWNER"},
            "auditStamp": {"time": time, "actor": actor},
            "version": 0,
        }
    )


def _created(world: World, table: Table) -> Iterator[Sample]:
    key = {"platform": f"urn:li:dataPlatform:{table.platform}", "name": table.name, "origin": "PROD"}
    yield world.log(table, "datasetKey", key, change="CREATE", entityKeyAspect=key)
    yield world.change(table.urn, "LIFECYCLE", "CREATE", world.robot(table))
    yield world.log(table, "status", {"removed": False})
    table.columns = world.chance.sample(_COLUMNS, world.chance.randrange(3, 7))
    yield world.log(table, "schemaMetadata", world.schema(table))
    for column in table.columns:
        yield world.column(table, column)


def _profiled(world: World, table: Table) -> Iterator[Sample]:
    rows = world.chance.randrange(1_000, 5_000_000)
    fields = [
        {
            "fieldPath": column,
            "uniqueCount": world.chance.randrange(1, rows),
            "nullCount": world.chance.randrange(0, 1 + rows // 20),
            "sampleValues": [str(world.chance.randrange(10_000)) for _ in range(3)],
        }
        for column in table.columns
    ]
    profile = {
        "timestampMillis": world.now,
        "partitionSpec": {"type": "FULL_TABLE", "partition": "FULL_TABLE_SNAPSHOT"},
        "rowCount": rows,
        "columnCount": len(fields),
        "fieldProfiles": fields,
    }
    yield world.measured(table.urn, "datasetProfile", profile, world.robot(table))


def _tagged(world: World, table: Table) -> Iterator[Sample]:
    has = [it["tag"] for it in table.aspects.get("globalTags", {"tags": []})["tags"]]
    new = [tag for name in _TAGS if (tag := f"urn:li:tag:{name}") not in has]
    if new:
        tag, who = world.chance.choice(new), world.person()
        yield world.log(table, "globalTags", {"tags": [{"tag": it} for it in [*has, tag]]}, who)
        yield world.change(table.urn, "TAG", "ADD", who, tag, {"tagUrn": tag})
        yield world.edge(table.urn, tag, "ADD", "TaggedWith", who)


def _untagged(world: World, table: Table) -> Iterator[Sample]:
    has = [it["tag"] for it in table.aspects.get("globalTags", {"tags": []})["tags"]]
    if has:
        tag, who = has.pop(world.chance.randrange(len(has))), world.person()
        yield world.log(table, "globalTags", {"tags": [{"tag": it} for it in has]}, who)
        yield world.change(table.urn, "TAG", "REMOVE", who, tag, {"tagUrn": tag})
        yield world.edge(table.urn, tag, "REMOVE", "TaggedWith", who)


def _owned(world: World, table: Table) -> Iterator[Sample]:
    has = table.aspects.get("ownership", {"owners": []})["owners"]
    known = {it["owner"] for it in has}
    new = [urn for urn in PEOPLE if urn not in known]
    if new:
        owner, who = world.chance.choice(new), world.person()
        owners = [*has, {"owner": owner, "type": "TECHNICAL_OWNER"}]
        yield world.log(table, "ownership", {"owners": owners, "lastModified": world.stamp(who)}, who)
        yield ownership(table.urn, owner, who, world.now)
        yield world.edge(table.urn, owner, "ADD", "OwnedBy", who)


def _column_added(world: World, table: Table) -> Iterator[Sample]:
    new = [column for column in _COLUMNS if column not in table.columns]
    if new:
        table.columns.append(world.chance.choice(new))
        yield world.log(table, "schemaMetadata", world.schema(table))
        yield world.column(table, table.columns[-1])


def _checked(world: World, table: Table) -> Iterator[Sample]:
    urn, who = f"urn:li:assertion:fresh-{table.name.replace('.', '-')}", _SYSTEM
    result = world.chance.choice(("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"))
    run = f"check-{world.now}"
    outcome = {
        "timestampMillis": world.now,
        "runId": run,
        "assertionUrn": urn,
        "asserteeUrn": table.urn,
        "status": "COMPLETE",
        "result": {"type": result},
    }
    yield world.measured(urn, "assertionRunEvent", outcome, who)
    parameters = {"runResult": result, "runId": run, "asserteeUrn": table.urn}
    yield world.change(urn, "RUN", "COMPLETED", who, None, parameters)


def _described(world: World, table: Table) -> Iterator[Sample]:
    who, first = world.person(), "editableDatasetProperties" not in table.aspects
    words = f"One row per {world.chance.choice(table.columns)}. Refreshed {world.chance.choice(('daily', 'hourly'))}."
    stamps = {"created": world.stamp(who), "lastModified": world.stamp(who)}
    yield world.log(table, "editableDatasetProperties", {"description": words, **stamps}, who)
    operation = "ADD" if first else "MODIFY"
    yield world.change(table.urn, "DOCUMENTATION", operation, who, None, {"description": words})


def _description_removed(world: World, table: Table) -> Iterator[Sample]:
    if "editableDatasetProperties" in table.aspects:
        who = world.person()
        yield world.log(table, "editableDatasetProperties", None, who, change="DELETE")
        yield world.change(table.urn, "DOCUMENTATION", "REMOVE", who)


def _derived(world: World, table: Table) -> Iterator[Sample]:
    has = table.aspects.get("upstreamLineage", {"upstreams": []})["upstreams"]
    known = {table.urn, *(it["dataset"] for it in has)}
    new = [it.urn for it in world.tables if it.urn not in known]
    if new:
        source, who = world.chance.choice(new), world.robot(table)
        upstream = {"dataset": source, "type": "TRANSFORMED", "auditStamp": world.stamp(who)}
        yield world.log(table, "upstreamLineage", {"upstreams": [*has, upstream]})
        yield world.edge(table.urn, source, "ADD", "DownstreamOf", who, properties={"source": "query log"})


def _placed(world: World, table: Table) -> Iterator[Sample]:
    domain, who = f"urn:li:domain:{world.chance.choice(_DOMAINS)}", world.person()
    if table.aspects.get("domains") != {"domains": [domain]}:
        yield world.log(table, "domains", {"domains": [domain]}, who)
        yield world.change(table.urn, "DOMAIN", "ADD", who, domain, {"domainUrn": domain})


def _deprecated(world: World, table: Table) -> Iterator[Sample]:
    who = world.person()
    gone = not table.aspects.get("deprecation", {"deprecated": False})["deprecated"]
    yield world.log(table, "deprecation", {"deprecated": gone, "note": "", "actor": who}, who)
    status = "DEPRECATED" if gone else "ACTIVE"
    yield world.change(table.urn, "DEPRECATION", "MODIFY", who, status, {"status": status})


_CHAPTERS: Final[Mapping[Callable[[World, Table], Iterator[Sample]], int]] = MappingProxyType(
    {
        _profiled: 9,
        _tagged: 7,
        _owned: 5,
        _column_added: 5,
        _checked: 4,
        _described: 4,
        _derived: 3,
        _untagged: 2,
        _placed: 2,
        _deprecated: 1,
        _description_removed: 1,
    }
)
"""What may happen to a table, and how often against the others."""
