"""infra/ecs: what checkers say of the template, and what it makes.

That the task role is what is called for is judged by all calls of the tests, in `recorded_calls`; how it scales is in
`test_infra_scaling.py`.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from cfnlint.decode import decode

from datahub_poller.observe.catalogue import CATALOGUE
from datahub_poller.observe.emf import NAMESPACE, STARTS
from support.action_files import action_of
from support.brokers import eventually
from support.policies import Call, grants, not_allowed
from support.template_grants import policies
from support.templates import INFRA, Stack, broken_rules, lint, passes_checkov, settled

pytestmark = pytest.mark.timeout(120)
TEMPLATE = INFRA / "ecs" / "service.yaml"
DOCUMENT, _ = decode(str(TEMPLATE))
MSK_CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/events/0a1b2c3d-1"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:kafka-AbCdEf"
POLICIES = {"BacklogPolicy", "BusyPolicy"}
ALARMS = {"LagAlarm", "DeadLetterAlarm", "StuckAlarm", "RestartAlarm", "SilenceAlarm"}
PASSED_OVER = {"Scaling", *POLICIES, *ALARMS}
"""What the emulator makes nothing of, or does not name; cfn-lint has held it against AWS's schemas."""
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
EVERYTHING = {
    **ALL,
    "SecretArn": SECRET,
    "RegistrySecretArn": SECRET,
    "SecretKeyArns": "arn:aws:kms:us-east-1:123456789012:key/1",
    "OperatorAccess": "true",
    "BrokerSecurityGroupId": "sg-0123",
}
CONFLUENT = {"SchemaRegistryUrl": "https://registry.example.org", "SchemaRegistryPort": "8081"}
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
    passes_checkov(TEMPLATE, least=15)


def test_nor_where_every_condition_holds(tmp_path):
    """Checkers do not look into what is there under a condition only."""
    whole = tmp_path / "service.json"
    whole.write_text(json.dumps(settled(DOCUMENT, EVERYTHING)))
    passes_checkov(whole, least=15)


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
    assert settled(DOCUMENT, {})["Resources"]["Service"]["Properties"]["EnableExecuteCommand"] is False
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


def test_a_start_is_given_the_time_that_brokers_and_the_group_may_take():
    """As many seconds in the image and in the task; ECS gives 300 at most."""
    (container, *_) = DOCUMENT["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    given = container["HealthCheck"]["StartPeriod"]
    (image,) = re.findall(r"--start-period=(\d+)s", (INFRA / "docker" / "Dockerfile").read_text())
    action = action_of({})
    brokers, session = action.source.config.connection.client_timeout_seconds, 45
    assert brokers + session + action.shutdown.deadline < given == int(image) <= 300


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
        capture_output=True,
        text=True,
        timeout=60,
    )
    return (directory / "action.yaml").read_text("utf-8")


ACTION = "name: größe\nsource: {type: kafka}  # 'quotes' \"and\" $more\n"
NAMED = {"GroupName": "größe"}


def test_an_action_file_inline(aws, tmp_path):
    made = Deployed(aws, ActionFile=ACTION, **NAMED)
    assert made.container()["command"] == ["run", "-c", "/action/action.yaml"]
    assert written_by(made.container("action-file"), tmp_path, aws) == ACTION


def test_an_action_file_from_s3(aws, tmp_path):
    bucket = f"files-{uuid.uuid4().hex[:8]}"
    aws.s3.create_bucket(Bucket=bucket)
    aws.s3.put_object(Bucket=bucket, Key="actions/a.yaml", Body=ACTION.encode())
    made = Deployed(aws, ActionFileBucket=bucket, ActionFileKey="actions/a.yaml", **NAMED)
    assert written_by(made.container("action-file"), tmp_path, aws) == ACTION


@pytest.mark.parametrize("text", ["name: ${NAME}\n", "nonsense", "a: [", "{}"])
def test_a_name_that_is_not_known_yet_or_a_file_that_is_wrong_is_the_pollers_affair(text, aws, tmp_path):
    assert written_by(Deployed(aws, ActionFile=text).container("action-file"), tmp_path, aws) == text


def test_an_action_file_with_another_name_is_refused(aws, tmp_path):
    """Rights, alarms and scaling go by the name."""
    made = Deployed(aws, ActionFile="name: another\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        written_by(made.container("action-file"), tmp_path, aws)
    assert "the action file's name is another, and the stack's tag-sync-" in refused.value.stderr
    assert "set ActionName or GroupName" in refused.value.stderr
    assert not (tmp_path / "action.yaml").exists()


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
    }
    variables = {each["name"]: each["value"] for each in poller["environment"]}
    assert variables["SCHEMA_REGISTRY_URL"] == "https://registry.example.org"


@pytest.mark.parametrize("given", [("SecretArn",), ("RegistrySecretArn",), ("SecretArn", "RegistrySecretArn")])
def test_each_secret_is_wanted_where_it_is_named_alone(given, aws):
    """A JSON key that a secret does not have would keep the task from starting."""
    of = {"SecretArn": SECRET, "RegistrySecretArn": SECRET.replace("kafka", "registry")}
    keys = "arn:aws:kms:us-east-1:123456789012:key/1,arn:aws:kms:us-east-1:123456789012:key/2"
    made = Deployed(aws, **{name: of[name] for name in given}, SecretKeyArns=keys)
    wanted = {
        "SecretArn": {f"{SECRET}:username::", f"{SECRET}:password::"},
        "RegistrySecretArn": {f"{of['RegistrySecretArn']}:user_info::"},
    }
    named = {each["valueFrom"] for each in made.container()["secrets"]}
    assert named == set().union(*(wanted[name] for name in given))
    granted = {(each.action, each.resource) for each in grants(made.documents("ExecutionRole"))}
    assert {resource for action, resource in granted if action == "secretsmanager:GetSecretValue"} == {
        of[name] for name in given
    }
    assert {resource for action, resource in granted if action == "kms:Decrypt"} == set(keys.split(","))


def test_a_group_whose_name_ecs_does_not_take_keeps_its_rights_and_its_figures(aws, tmp_path):
    made = Deployed(aws, MskClusterArn=MSK_CLUSTER, GroupName="tag.sync for all", ActionFile="name: tag.sync for all\n")
    begin, cluster = MSK_CLUSTER.split(":cluster/")
    group = Call("kafka-cluster:AlterGroup", f"{begin}:group/{cluster}/tag.sync for all")
    assert not_allowed(made.documents("TaskRole"), {group}) == set()
    assert written_by(made.container("action-file"), tmp_path, aws) == "name: tag.sync for all\n"
    settled_alarm = settled(DOCUMENT, {"GroupName": "tag.sync for all"})["Resources"]["LagAlarm"]["Properties"]
    assert settled_alarm["Dimensions"] == [{"Name": "Action", "Value": {"Ref": "GroupName"}}]


def test_images_come_from_one_repository_where_it_is_named(aws):
    repository = "arn:aws:ecr:eu-west-1:210987654321:repository/tag-sync"
    made = Deployed(aws, RepositoryArn=repository)
    granted = grants(made.documents("ExecutionRole"))
    assert {each.resource for each in granted if each.action.startswith("ecr:B")} == {repository}


@pytest.mark.parametrize(
    ("to", "last"), [({}, {"Ref": "BrokerPort"}), ({"BrokerPortTo": "14100"}, {"Ref": "BrokerPortTo"})]
)
def test_the_door_to_the_brokers_is_opened_on_both_sides(to, last):
    resources = settled(DOCUMENT, {**to, "BrokerSecurityGroupId": "sg-0123"})["Resources"]
    out = resources["Doors"]["Properties"]["SecurityGroupEgress"][0]
    into = resources["BrokersDoor"]["Properties"]
    assert [(each["FromPort"], each["ToPort"]) for each in (out, into)] == [({"Ref": "BrokerPort"}, last)] * 2
    assert (into["GroupId"], into["SourceSecurityGroupId"]) == ({"Ref": "BrokerSecurityGroupId"}, {"Ref": "Doors"})
    assert "BrokersDoor" not in settled(DOCUMENT, {})["Resources"]


def test_the_registrys_door_is_not_opened_twice():
    """AWS refuses a second rule like the first, and 443 is open for AWS's own APIs."""
    registry = {"SchemaRegistryUrl": "https://registry.example.org"}
    assert "RegistryDoor" not in settled(DOCUMENT, registry)["Resources"]
    assert "RegistryDoor" in settled(DOCUMENT, {**registry, "SchemaRegistryPort": "8081"})["Resources"]


@pytest.mark.parametrize("given", [EVERYTHING, EVERYTHING | CONFLUENT, {}], ids=["glue", "confluent", "least"])
def test_the_service_comes_after_every_right_and_every_door_and_goes_before_them(given):
    """Else tasks begin without a right, are counted as failed, and are without it again while they drain."""
    resources = settled(DOCUMENT, given)["Resources"]
    kinds = ("AWS::IAM::Policy", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress")
    service = resources["Service"]
    after = {each["Ref"] for each in service["Metadata"]["After"] if each} | {service["DependsOn"]}
    assert after == {name for name, each in resources.items() if each["Type"] in kinds}


def test_people_come_into_a_container_of_their_own_and_the_pollers_stays_closed(aws):
    made = Deployed(aws, OperatorAccess="true", ActionFile="name: x\n")
    operator = made.container("operator")
    assert operator["essential"] is False
    assert {each["containerPath"]: each["readOnly"] for each in operator["mountPoints"]} == {"/action": True}
    assert made.container()["readonlyRootFilesystem"] is True
    granted = {each.action for each in grants(made.documents("TaskRole"))}
    assert {each for each in granted if each.startswith("ssmmessages:")} == {
        f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")
    }
    opened = settled(DOCUMENT, {"OperatorAccess": "true"})["Resources"]["Service"]["Properties"]
    assert opened["EnableExecuteCommand"] is True
    entry, (code,) = operator["entryPoint"], operator["command"]
    process = subprocess.Popen([sys.executable, *entry[1:], code])
    eventually(lambda: hears(process, signal.SIGTERM), "it does not hear SIGTERM")
    assert process.poll() is None, "it is there until the task ends"
    process.terminate()
    assert process.wait(30) == 0


def hears(process, number):
    """Whether it has a handler of its own for the signal, as the kernel tells."""
    told = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(re.search(r"^SigCgt:\s+(\w+)", told, re.MULTILINE)[1], 16) >> (number - 1) & 1)


def test_a_deployment_names_a_number_of_tasks_only_where_it_is_given():
    """Else each upgrade would throw away what scaling has decided."""
    assert "DesiredCount" not in settled(DOCUMENT, {})["Resources"]["Service"]["Properties"]
    given = settled(DOCUMENT, {"DesiredCount": "0"})["Resources"]["Service"]["Properties"]
    assert given["DesiredCount"] == {"Ref": "DesiredCount"}


def test_people_are_told_of_tasks_that_end_by_themselves_and_of_deployments_that_fail():
    resources = settled(DOCUMENT, {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms"})["Resources"]
    ended, failed = (resources[name]["Properties"] for name in ("EndedRule", "DeploymentRule"))
    assert ended["EventPattern"]["detail"]["group"] == [{"Fn::Sub": "service:${Service.Name}"}]
    assert failed["EventPattern"]["detail"] == {"eventName": ["SERVICE_DEPLOYMENT_FAILED"]}
    assert failed["EventPattern"]["resources"] == [{"Ref": "Service"}]
    assert [rule["Targets"][0]["Arn"] for rule in (ended, failed)] == [{"Ref": "AlarmTopicArn"}] * 2
    assert "DeploymentRule" not in settled(DOCUMENT, {})["Resources"]


# -- what cannot stand together

FARGATE = {
    "256": {"512", "1024", "2048"},
    "512": {"1024", "2048", "3072", "4096"},
    "1024": {"2048", "3072", "4096", "8192"},
    "2048": {"4096", "8192"},
}
"""https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html"""


def test_every_pair_of_processor_and_memory_is_taken_that_fargate_has_and_no_other():
    parameters = DOCUMENT["Parameters"]
    for cpu in parameters["Cpu"]["AllowedValues"]:
        for memory in parameters["Memory"]["AllowedValues"]:
            broken = broken_rules(DOCUMENT, {"Cpu": cpu, "Memory": memory})
            assert (broken == []) == (memory in FARGATE[cpu]), (cpu, memory, broken)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, None),
        (EVERYTHING, None),
        ({"ActionFileBucket": "b"}, "ActionFileBucket needs ActionFileKey."),
        ({"ActionFileKey": "k"}, "ActionFileKey needs ActionFileBucket."),
        ({"ActionFile": "x", "ActionFileBucket": "b", "ActionFileKey": "k"}, "not from both"),
        ({"DeadLetterTopic": "t"}, "needs MskClusterArn"),
        ({"EfsFileSystemId": "fs-1"}, "needs EfsAccessPointId"),
    ],
)
def test_what_cannot_stand_together_is_refused_before_anything_is_made(given, says):
    broken = broken_rules(DOCUMENT, given)
    assert (broken == []) if says is None else (len(broken) == 1 and says in broken[0])


@pytest.mark.parametrize(
    ("parameter", "right", "wrong"),
    [
        ("ActionName", "tag-sync_2", "tag.sync"),
        ("MskClusterArn", MSK_CLUSTER, "events"),
        ("SecretArn", SECRET, "kafka"),
        ("BrokerSecurityGroupId", "sg-0123abcd", "brokers"),
        ("RepositoryArn", "arn:aws:ecr:us-east-1:123456789012:repository/x/y", "x/y"),
        ("DesiredCount", "3", "-1"),
    ],
)
def test_a_value_of_another_kind_is_refused_before_anything_is_made(parameter, right, wrong):
    about = DOCUMENT["Parameters"][parameter]
    assert re.fullmatch(about["AllowedPattern"], right)
    assert not re.fullmatch(about["AllowedPattern"], wrong)
    assert "Default" not in about or re.fullmatch(about["AllowedPattern"], about["Default"])


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

GROUP = {"Fn::If": ["HasGroupName", {"Ref": "GroupName"}, {"Ref": "ActionName"}]}


PUBLISHED = {target.name: target.unit for metric in CATALOGUE for target in metric.cloudwatch} | {STARTS: "Count"}


def test_alarms_and_scaling_ask_for_metrics_that_are_published():
    """`test_infra_alarms.py` has which; RestartAlarm's is of EventBridge."""
    resources = DOCUMENT["Resources"]
    assert {name for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"} == ALARMS
    alarms = [resources[name]["Properties"] for name in ALARMS - {"RestartAlarm"}]
    policy = DOCUMENT["Resources"]["BacklogPolicy"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    metric = policy["CustomizedMetricSpecification"]
    assert metric["Unit"] == PUBLISHED[metric["MetricName"]]
    policy = DOCUMENT["Resources"]["BusyPolicy"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    stat = policy["CustomizedMetricSpecification"]["Metrics"][0]["MetricStat"]
    assert stat["Unit"] == PUBLISHED[stat["Metric"]["MetricName"]]
    for each in (*alarms, metric, stat["Metric"]):
        assert each["MetricName"] in PUBLISHED
        assert each["Namespace"] == NAMESPACE
        assert each["Dimensions"] == [{"Name": "Action", "Value": GROUP}]


def test_the_dashboard_is_json_of_metrics_that_are_published():
    text, more = DOCUMENT["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert more == {"Group": GROUP}
    body = json.loads(re.sub(r"\$\{(\w+Alarm|BacklogPerTask|BusyTarget)\}", "1", text))
    shown = set()
    for widget in body["widgets"]:
        metric = None
        for row in widget["properties"].get("metrics", ()):
            metric = [before if given == "." else given for given, before in zip(row, metric or row, strict=False)]
            assert metric[0] == NAMESPACE
            shown.add(metric[1])
    assert shown <= PUBLISHED.keys()
    assert len(shown) >= 15
