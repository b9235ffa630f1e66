"""A Glue registry of another account and region, as an action file says it: what a whole poller asks, and of whom.

moto keeps accounts apart by the credentials that it gave for a role, and regions by the signature.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from datahub_poller.demo import samples
from support.faulting_proxy import FaultingProxy
from support.glue_schemas import register
from support.recorded import all_accounted_for
from support.running import Stage

OTHER_ACCOUNT = "310987654321"
OTHER_REGION = "eu-west-3"
ROLE = f"arn:aws:iam::{OTHER_ACCOUNT}:role/datahub-schemas"
EXTERNAL_ID = "tenant-7/a"
REGISTRY = "source/config/schema_registry"


@pytest.fixture
def aws(moto_server):
    with FaultingProxy(moto_server.url) as proxy:
        yield proxy


@pytest.fixture
def version(moto_server):
    """A schema version's UUID that nobody knows but the other account, and there but that region."""
    return register(moto_server.url, "PlatformEvent", OTHER_REGION, ROLE)


@pytest.fixture
def stage(mock_bed, tmp_path, unique, version):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        event = {"entityUrn": "urn:li:dataset:x", "entityType": "dataset", "category": "TAG", "operation": "ADD"}
        stamp = {"time": 1_770_000_000_000, "actor": "urn:li:corpuser:jdoe"}
        body = samples.entity_change(event | {"auditStamp": stamp, "version": 0}).body
        for compress in (False, True):
            stage.produced.add(stage.send_raw("pe", 0, samples.glue_frame(version, body, compress)))
        yield stage


def environment(aws):
    """Of a task in another region than the registry's; its own credentials reach nothing there."""
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_STS": aws.url,
    }


def started(stage, aws, **registry):
    settings = {"type": "glue", "endpoint": aws.url, "timeout": "5s", **registry}
    return stage.start(stage.action({REGISTRY: settings}), **environment(aws))


def test_region_role_external_id_and_endpoint_reach_the_registry_that_the_file_names(stage, aws):
    poller = started(stage, aws, region=OTHER_REGION, role=ROLE, external_id=EXTERNAL_ID)
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    assert stage.lettered() == []
    assert poller.stop() == 0
    (assumed,) = [each for each in aws.requests if each.operation.startswith("sts:")]
    asked = {name: values[0] for name, values in parse_qs(assumed.body.decode()).items()}
    assert (asked["Action"], asked["RoleArn"], asked["ExternalId"]) == ("AssumeRole", ROLE, EXTERNAL_ID)
    (fetched,) = [each for each in aws.requests if each.operation == "glue:GetSchemaVersion"]
    assert f"/{OTHER_REGION}/glue/aws4_request" in fetched.headers["Authorization"]


@pytest.mark.parametrize(
    "registry",
    [{"region": OTHER_REGION}, {"role": ROLE, "external_id": EXTERNAL_ID}],
    ids=["without the role", "without the region"],
)
def test_without_them_the_version_is_not_found_and_the_partition_waits(stage, aws, registry):
    """So the test above would notice: nothing is lost, nothing is lettered yet."""
    poller = started(stage, aws, **registry)
    poller.status_when(lambda status: status["red"], "not red")
    assert not stage.recorded().calls
    assert stage.lettered() == []
    poller.kill()
