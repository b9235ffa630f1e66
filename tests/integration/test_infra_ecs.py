"""infra/ecs: what checkers say of the template, and what it makes.

That the task role is what is called for is judged by all calls of the tests, in `recorded_calls`; how it scales is in
`test_infra_scaling.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid

import pytest
from cfnlint.decode import decode

from datahub_poller.observe.catalogue import CATALOGUE
from datahub_poller.observe.emf import NAMESPACE, STARTS
from support.action_files import action_of
from support.on_aws import on_aws
from support.policies import Call, grants, not_allowed
from support.template_grants import policies
from support.templates import INFRA, Stack, checkov, lint, names, settled

pytestmark = pytest.mark.timeout(120)
TEMPLATE = INFRA / "ecs" / "service.yaml"
DOCUMENT, _ = decode(str(TEMPLATE))
MSK_CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/events/0a1b2c3d-1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:kafka-AbCdEf"
PASSED_OVER = {"Scaling", "BacklogPolicy", "LagAlarm", "DeadLetterAlarm", "StuckAlarm", "RestartAlarm", "SilenceAlarm"}
"""What the emulator makes nothing of, or does not name; cfn-lint has held it against AWS's schemas."""
BY_ECS = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "secretsmanager:GetSecretValue",
}
"""What ECS itself calls to start a task, not the poller: by AWS's page on the task execution role."""


@pytest.fixture
def aws(moto_server, monkeypatch):
    with on_aws(moto_server, monkeypatch) as found:
        yield found


class Deployed:
    """The template on the emulator, with what it needs beside it."""

    def __init__(self, aws, **parameters):
        direct = aws
        self.ecs = direct.client("ecs")
        self.iam = direct.client("iam")
        self.name = f"tag-sync-{uuid.uuid4().hex[:8]}"
        self.cluster = f"cluster-{uuid.uuid4().hex[:8]}"
        self.ecs.create_cluster(clusterName=self.cluster)
        ec2 = direct.client("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
        given = {
            "ActionName": self.name,
            "ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/datahub-poller:0.1.0",
            "ClusterName": self.cluster,
            "VpcId": vpc["VpcId"],
            "SubnetIds": ",".join(each["SubnetId"] for each in subnets[:2]),
            "BootstrapServers": "b-1.events.abc.c2.kafka.us-east-1.amazonaws.com:9098",
            **parameters,
        }
        body = json.dumps(settled(DOCUMENT, given))
        self.stack = Stack(direct.client("cloudformation"), self.name, TEMPLATE, given, body)

    @property
    def task(self):
        return self.ecs.describe_task_definition(taskDefinition=f"datahub-poller-{self.name}")["taskDefinition"]

    def container(self, name="poller"):
        (found,) = [each for each in self.task["containerDefinitions"] if each["name"] == name]
        return found

    def documents(self, role):
        """The inline policies of a role, as they were made."""
        name = self.stack.resources[role]
        found = self.iam.list_role_policies(RoleName=name)["PolicyNames"]
        made = [self.iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in found]
        return [json.loads(each) if isinstance(each, str) else each for each in made]


def test_its_checkers_have_nothing_to_say():
    assert lint(TEMPLATE) == []
    report = checkov(TEMPLATE)
    assert names(report["failed_checks"]) == []
    assert len(report["passed_checks"]) >= 15, "it saw nothing"
    for skipped in report["skipped_checks"]:
        assert len(skipped["check_result"]["suppress_comment"]) > 30, "skipped without a reason"


@pytest.mark.parametrize(
    ("old", "new"), [("StopTimeout: !Ref", "StopTimeouts: !Ref"), ("!GetAtt TaskRole.Arn", "!GetAtt Task.Role")]
)
def test_a_template_that_is_wrong_is_found(tmp_path, old, new):
    text = TEMPLATE.read_text()
    assert old in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(old, new, 1))
    assert lint(broken)


def test_the_service_is_made_with_a_task_that_is_closed(aws):
    made = Deployed(aws, MskClusterArn=MSK_CLUSTER)
    conditional = {name for name, each in DOCUMENT["Resources"].items() if "Condition" in each} - {
        "GluePolicy",
        "MskPolicy",
    }
    assert made.stack.passed_over == PASSED_OVER | conditional
    poller = made.container()
    assert poller["readonlyRootFilesystem"] is True
    assert poller["user"] == "10001:10001"
    assert poller["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert poller["command"] == ["run", "-c", "/etc/datahub-poller/action.yaml"]
    assert [each["name"] for each in made.task["containerDefinitions"]] == ["poller"]
    assert "secrets" not in poller or poller["secrets"] == []


@pytest.mark.parametrize(("timeout", "fits"), [("40", True), ("120", True), ("29", False)])
def test_the_task_knows_when_it_is_killed_and_says_so_where_the_drain_does_not_fit(aws, timeout, fits):
    parameter = DOCUMENT["Parameters"]["StopTimeout"]
    assert (parameter["Default"], parameter["MaxValue"]) == (40, 120)
    poller = Deployed(aws, StopTimeout=timeout).container()
    assert poller["stopTimeout"] == int(timeout)
    environ = {each["name"]: each["value"] for each in poller["environment"]}
    warnings = action_of({"shutdown": {"deadline": "25s"}}, environ).warnings
    assert (warnings == ()) is fits


def test_the_health_check_is_the_images():
    image = (INFRA / "docker" / "Dockerfile").read_text()
    (container, *_) = DOCUMENT["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    command = container["HealthCheck"]["Command"]
    found = re.search(r"^    CMD (\[.*\])$", image, re.MULTILINE)
    assert found is not None
    assert command == ["CMD", *json.loads(found[1])]


def written_by(container, directory, aws):
    """Run what the container that writes the action file runs, with its variables, on another directory."""
    (script,) = container["command"]
    environ = {each["name"]: each["value"] for each in container["environment"]}
    assert container["entryPoint"] == ["python", "-I", "-c"]
    subprocess.run(
        [sys.executable, "-I", "-c", script.replace("/action/", f"{directory}/")],
        env={
            **environ,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": aws.proxy.url,
        },
        check=True,
        timeout=60,
    )
    return (directory / "action.yaml").read_text("utf-8")


ACTION = "name: größe\nsource: {type: kafka}  # 'quotes' \"and\" $more\n"


def test_an_action_file_inline(aws, tmp_path):
    made = Deployed(aws, ActionFile=ACTION)
    assert made.container()["command"] == ["run", "-c", "/action/action.yaml"]
    assert written_by(made.container("action-file"), tmp_path, aws) == ACTION


def test_an_action_file_from_s3(aws, tmp_path):
    bucket = f"files-{uuid.uuid4().hex[:8]}"
    aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="actions/a.yaml", Body=ACTION.encode())
    made = Deployed(aws, ActionFileBucket=bucket, ActionFileKey="actions/a.yaml")
    assert written_by(made.container("action-file"), tmp_path, aws) == ACTION


ALL = {
    "MskClusterArn": MSK_CLUSTER,
    "DeadLetterTopic": "letters",
    "AssumeRoleArns": "arn:aws:iam::210987654321:role/registry,arn:aws:iam::210987654321:role/events",
    "ScaleInProtection": "true",
    "ActionFileBucket": "files",
    "ActionFileKey": "actions/a.yaml",
    "EfsFileSystemId": "fs-0123456789abcdef0",
    "EfsAccessPointId": "fsap-0123456789abcdef0",
}
"""All that gives the task a right."""


@pytest.mark.parametrize("given", [{}, {"MskClusterArn": MSK_CLUSTER}, ALL], ids=["least", "msk", "all"])
def test_the_task_role_is_made_as_the_judge_has_it(given, aws):
    made = Deployed(aws, **given)
    judged = policies("ecs/service.yaml", {**given, "ActionName": made.name, "ClusterName": made.cluster}, "TaskRole")

    def texts(documents):
        return sorted(json.dumps(each, sort_keys=True) for each in documents)

    assert texts(made.documents("TaskRole")) == texts(judged.values())
    assert len(judged) == {0: 1, 1: 2}.get(len(given), 7)


def test_policies_of_dead_letters_go_to_the_task_role_as_many_as_they_are():
    """The emulator attaches none."""
    assert DOCUMENT["Parameters"]["DeadLetterPolicyArns"]["Type"] == "CommaDelimitedList"
    given = {"DeadLetterPolicyArns": "arn:aws:iam::123456789012:policy/queue,arn:aws:iam::123456789012:policy/bucket"}
    roles = [settled(DOCUMENT, parameters)["Resources"]["TaskRole"]["Properties"] for parameters in (given, {})]
    assert [role.get("ManagedPolicyArns") for role in roles] == [{"Ref": "DeadLetterPolicyArns"}, None]


def test_rights_end_at_the_cluster_the_group_and_the_tasks(aws):
    made = Deployed(aws, **ALL)
    begin, cluster = MSK_CLUSTER.split(":cluster/")
    beyond = {
        Call("kafka-cluster:CreateTopic", f"{begin}:topic/{cluster}/letters"),
        Call("kafka-cluster:ReadData", f"{begin}:topic/{cluster}/letters"),
        Call("kafka-cluster:AlterGroup", f"{begin}:group/{cluster}/{made.name}-2"),
        Call("kafka-cluster:Connect", f"{begin}:cluster/other/0a1b2c3d-1"),
        Call("ecs:UpdateTaskProtection", "arn:aws:ecs:us-east-1:123456789012:task/other/0123456789abcdef"),
        Call("sts:AssumeRole", "arn:aws:iam::210987654321:role/admin"),
    }
    assert not_allowed(made.documents("TaskRole"), beyond) == beyond


def test_with_a_confluent_registry_and_a_password_there_are_no_rights_of_awss_but_to_the_secret(aws):
    made = Deployed(aws, SchemaRegistryUrl="https://registry.example.org", SecretArn=SECRET, BrokerPort="9096")
    assert made.documents("TaskRole") == []
    granted = set(grants(made.documents("ExecutionRole")))
    assert {each.action for each in granted} == BY_ECS
    assert {each.resource for each in granted if each.action.startswith("secrets")} == {SECRET}
    poller = made.container()
    assert {each["name"]: each["valueFrom"].removeprefix(SECRET) for each in poller["secrets"]} == {
        "KAFKA_SASL_USERNAME": ":username::",
        "KAFKA_SASL_PASSWORD": ":password::",
        "SCHEMA_REGISTRY_USER_INFO": ":registry::",
    }
    variables = {each["name"]: each["value"] for each in poller["environment"]}
    assert variables["SCHEMA_REGISTRY_URL"] == "https://registry.example.org"


def test_letters_on_efs_are_encrypted_on_their_way_and_by_the_access_point(aws):
    Deployed(aws, EfsFileSystemId="fs-0123456789abcdef0", EfsAccessPointId="fsap-0123456789abcdef0")
    (volume,) = [
        each["Fn::If"][1]
        for each in DOCUMENT["Resources"]["Task"]["Properties"]["Volumes"]
        if each["Fn::If"][0] == "OnEfs"
    ]
    efs = volume["EFSVolumeConfiguration"]
    assert efs["TransitEncryption"] == "ENABLED"
    assert efs["AuthorizationConfig"]["IAM"] == "ENABLED"


# -- metrics by their names


PUBLISHED = {target.name: target.unit for metric in CATALOGUE for target in metric.cloudwatch} | {STARTS: "Count"}


def test_alarms_and_scaling_ask_for_metrics_that_are_published():
    resources = DOCUMENT["Resources"].values()
    alarms = [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert {each["MetricName"] for each in alarms} >= {
        "MaxLagSeconds",
        "OnFailureDestinationDeliveredEventCount",
        "StuckPartitions",
        STARTS,
    }
    policy = DOCUMENT["Resources"]["BacklogPolicy"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    metric = policy["CustomizedMetricSpecification"]
    assert metric["Unit"] == PUBLISHED[metric["MetricName"]]
    for each in (*alarms, metric):
        assert each["MetricName"] in PUBLISHED
        assert each["Namespace"] == NAMESPACE
        assert each["Dimensions"] == [{"Name": "Action", "Value": {"Ref": "ActionName"}}]


def test_the_dashboard_is_json_of_metrics_that_are_published():
    text = DOCUMENT["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    body = json.loads(re.sub(r"\$\{(\w+Alarm|BacklogPerTask)\}", "1", text))
    shown = set()
    for widget in body["widgets"]:
        metric = None
        for row in widget["properties"].get("metrics", ()):
            metric = [before if given == "." else given for given, before in zip(row, metric or row, strict=False)]
            assert metric[0] == NAMESPACE
            shown.add(metric[1])
    assert shown <= PUBLISHED.keys()
    assert len(shown) >= 15
