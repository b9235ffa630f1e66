"""infra/ec2/group.yaml: what checkers say, what it makes, its rights. `test_infra_first_start.py` runs its script."""

from __future__ import annotations

import copy
import json
import re
import uuid

import pytest
from cfnlint.decode import decode

from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.errors import SchemaNotFound
from datahub_poller.model import SchemaKey
from support.policies import Call, not_allowed, not_called
from support.templates import INFRA, Stack, broken_rules, lint, passes_checkov, settled
from support.units import Unit

pytestmark = pytest.mark.timeout(120)
EC2 = INFRA / "ec2"
TEMPLATE = EC2 / "group.yaml"
DOCUMENT, _ = decode(str(TEMPLATE))
DATA = DOCUMENT["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]
GROUP = DOCUMENT["Resources"]["Group"]
ACCOUNT = "123456789012"
MSK = f"arn:aws:kafka:us-east-1:{ACCOUNT}:cluster/events/0a1b2c3d-1"
ACTIONS = ["tag-sync", "owners", "notify", "audit", "search"]
EVERYTHING = {
    "MskClusterArn": MSK,
    "ActionNames": ",".join(ACTIONS),
    "DeadLetterTopic": "letters",
    "SchemaRegistryPort": "8081",
}


def test_its_checkers_have_nothing_to_say():
    assert lint(TEMPLATE) == []
    passes_checkov(TEMPLATE, least=20)


def test_nor_where_every_condition_holds(tmp_path):
    """Checkers do not look into what is there under a condition only."""
    whole = tmp_path / "group.json"
    whole.write_text(json.dumps(settled(DOCUMENT, EVERYTHING)))
    passes_checkov(whole, least=20)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Version: !GetAtt Machine.LatestVersionNumber", "Version: !GetAtt Machine.Latest"),
        ("WaitOnResourceSignals: true", "WaitForSignals: true"),
        ("- HasFifthName", "- HasSixthName"),
    ],
)
def test_a_template_that_is_wrong_is_found(tmp_path, old, new):
    text = TEMPLATE.read_text()
    assert text.count(old) == 1
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(old, new))
    assert lint(broken)


class Made:
    """The template on the emulator."""

    def __init__(self, aws, **parameters):
        self.aws = aws
        ec2 = self.aws.client("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
        self.name = f"pollers-{uuid.uuid4().hex[:8]}"
        given = {
            "GroupName": self.name,
            "VpcId": vpc["VpcId"],
            "SubnetIds": ",".join(each["SubnetId"] for each in subnets[:2]),
            "FilesBucket": "files",
            **parameters,
        }
        body = json.dumps(settled(DOCUMENT, given))
        self.stack = Stack(self.aws.client("cloudformation"), self.name, TEMPLATE, given, body)
        self.resources = self.stack.resources

    @property
    def documents(self):
        """What the role may do, as it was made."""
        iam = self.aws.client("iam")
        role = self.resources["Role"]
        found = [
            iam.get_role_policy(RoleName=role, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        return [json.loads(each) if isinstance(each, str) else each for each in found]

    def stopped_by(self):
        """The rights that a machine's own commands need: the first script's and `drain.sh`'s."""
        group = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:0a1b:autoScalingGroupName/{self.name}"
        return {
            Call("s3:ListBucket", "arn:aws:s3:::files", "datahub-poller/"),
            Call("s3:GetObject", "arn:aws:s3:::files/datahub-poller/drain.sh"),
            Call("autoscaling:CompleteLifecycleAction", group),
        }

    def logged_by(self):
        """What the agent calls where its file names no retention and the group is there.
        https://github.com/aws/amazon-cloudwatch-agent/tree/main/plugins/outputs/cloudwatchlogs/internal/pusher"""
        group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/datahub-poller/{self.name}"
        stream = f"{group}:log-stream:i-0123__var_log_datahub-poller_tag-sync.log"
        return {Call("logs:CreateLogStream", stream), Call("logs:PutLogEvents", stream)}


def test_the_group_lets_machines_drain_before_they_end(aws):
    made = Made(aws)
    assert made.stack.passed_over == {"BrokerDoor", "RegistryDoor"}
    (group,) = made.aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[made.name])[
        "AutoScalingGroups"
    ]
    assert (group["MinSize"], group["MaxSize"]) == (1, 2)
    # The emulator leaves these out of a group.
    wanted = GROUP["Properties"]
    assert wanted["CapacityRebalance"] is True
    (hook,) = wanted["LifecycleHookSpecificationList"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    # As long as is said, and no machine is held where nobody answers. `test_infra_drain.py` answers by the hook's name.
    assert hook["HeartbeatTimeout"] == {"Ref": "DrainSeconds"}
    assert hook["DefaultResult"] == "CONTINUE"


def test_a_drain_fits_into_what_the_group_and_spot_wait():
    stop = Unit(EC2 / "datahub-poller@.service").seconds("TimeoutStopSec")
    look, linger, asked = 5, 10, 3 * 5
    drain = DOCUMENT["Parameters"]["DrainSeconds"]
    assert drain["MinValue"] >= look + stop + linger + asked
    assert f"LINGER={linger}\n" in DATA["UserData"]["Fn::Base64"]["Fn::Sub"].replace(" >>", "\n")
    assert look + stop + linger < 120, "Spot gives two minutes"
    (longer,) = re.findall(r"TimeoutStopSec=(\d+)s", (EC2 / "README.md").read_text())
    assert look + int(longer) + linger + asked < drain["Default"] <= 120


def test_a_new_version_is_good_only_when_its_machines_say_so():
    creation, update = GROUP["CreationPolicy"]["ResourceSignal"], GROUP["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert creation["Count"] == {"Ref": "MinMachines"}
    assert DOCUMENT["Parameters"]["MinMachines"]["MinValue"] >= 1
    assert update["WaitOnResourceSignals"] is True
    assert GROUP["DependsOn"] == "Rights"


def test_a_new_machine_comes_before_an_old_one_goes_however_many_there_are():
    update, group = GROUP["UpdatePolicy"]["AutoScalingRollingUpdate"], GROUP["Properties"]
    assert update["MinInstancesInService"] == group["MinSize"] == {"Ref": "MinMachines"}
    assert update["MaxBatchSize"] == 1
    # CloudFormation refuses a group whose most is not above what stays in service, at its first update.
    assert broken_rules(DOCUMENT, {"MinMachines": "3", "MaxMachines": "4"}) == []
    (said,) = broken_rules(DOCUMENT, {"MinMachines": "3", "MaxMachines": "3"})
    assert "MaxMachines above MinMachines" in said
    least = {name: DOCUMENT["Parameters"][name]["MinValue"] for name in ("MinMachines", "MaxMachines")}
    assert least["MaxMachines"] > least["MinMachines"]


def test_a_first_stack_that_is_taken_back_leaves_nothing_in_the_way_of_the_next():
    """Its log group has a name of its own; that of a stack that worked stays."""
    assert DOCUMENT["Resources"]["Logs"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert {each["DeletionPolicy"] for each in DOCUMENT["Resources"].values() if "DeletionPolicy" in each} == {
        "RetainExceptOnCreate"
    }


def glue_calls(aws):
    """Ask Glue as the poller does, and take what was asked from the wire."""
    aws.proxy.forget()
    with pytest.raises(SchemaNotFound):
        GlueRegistry("us-east-1", aws.proxy.url).fetch(SchemaKey("glue", str(uuid.uuid4())))
    return {Call(each.headers["X-Amz-Target"].replace("AWSGlue.", "glue:"), "*") for each in aws.proxy.requests}


def msk_calls(groups, letters):
    """What Kafka calls READ and WRITE, as MSK calls it.
    https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html"""
    begin, cluster = MSK.split(":cluster/")
    needed = {"": {"Connect"}}
    for topic in ("MetadataChangeLog_Versioned_v1", "MetadataChangeLog_Timeseries_v1", "PlatformEvent_v1"):
        needed[f"topic/{cluster}/{topic}"] = {"DescribeTopic", "ReadData"}
    for group in groups:
        needed[f"group/{cluster}/{group}"] = {"AlterGroup", "DescribeGroup"}
    if letters:
        needed[""] |= {"WriteDataIdempotently"}
        needed[f"topic/{cluster}/{letters}"] = {"DescribeTopic", "DescribeTopicDynamicConfiguration", "WriteData"}
    return {
        Call(f"kafka-cluster:{action}", f"{begin}:{resource}" if resource else MSK)
        for resource, actions in needed.items()
        for action in actions
    }


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("letters", ["", "letters"])
def test_the_role_is_what_is_called_for(count, letters, aws):
    actions = ACTIONS[:count]
    made = Made(aws, MskClusterArn=MSK, ActionNames=",".join(actions), DeadLetterTopic=letters)
    calls = made.stopped_by() | made.logged_by() | glue_calls(aws) | msk_calls(actions, letters)
    documents = made.documents
    assert not_allowed(documents, calls) == set()
    assert not_called(documents, calls) == set()
    elsewhere = {
        Call("s3:GetObject", "arn:aws:s3:::files/other/secret"),
        Call("autoscaling:CompleteLifecycleAction", "arn:aws:autoscaling:::autoScalingGroup:1:autoScalingGroupName/x"),
        Call("logs:PutLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/others:log-stream:x"),
        Call("kafka-cluster:AlterGroup", f"{MSK.replace(':cluster/', ':group/')}/others"),
        Call("kafka-cluster:CreateTopic", MSK),
    }
    assert not_allowed(documents, elsewhere) == elsewhere


@pytest.mark.parametrize("action", ["kafka-cluster:AlterGroup", "logs:CreateLogStream"])
def test_a_role_that_is_narrowed_is_noticed(action, aws):
    made = Made(aws, MskClusterArn=MSK, ActionNames="tag-sync")
    calls = made.logged_by() | msk_calls(["tag-sync"], "")
    narrowed = copy.deepcopy(made.documents)
    for document in narrowed:
        for statement in document["Statement"]:
            if action in statement["Action"]:
                statement["Action"].remove(action)
    assert {call.action for call in not_allowed(narrowed, calls)} == {action}


def test_what_is_switched_off_gives_no_right_and_makes_nothing(aws):
    made = Made(aws, Glue="false", CloudWatchLogs="false")
    assert not_called(made.documents, made.stopped_by()) == set()
    assert "Logs" not in made.resources
    assert "LogGroup" not in made.stack.outputs


def test_the_brokers_are_opened_for_the_machines(aws):
    client = aws.client("ec2")
    (vpc,) = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    name = f"brokers-{uuid.uuid4().hex[:8]}"
    brokers = client.create_security_group(GroupName=name, Description=name, VpcId=vpc["VpcId"])["GroupId"]
    made = Made(aws, BrokerSecurityGroupId=brokers, BrokerPort="9096")
    doors = made.stack.outputs["SecurityGroupId"]
    (opened,) = client.describe_security_groups(GroupIds=[brokers])["SecurityGroups"][0]["IpPermissions"]
    assert (opened["FromPort"], opened["ToPort"], opened["UserIdGroupPairs"][0]["GroupId"]) == (9096, 9096, doors)


def test_another_registry_is_reached_at_its_port():
    """The emulator makes nothing of it."""
    door = settled(DOCUMENT, {"SchemaRegistryPort": "8081"})["Resources"]["RegistryDoor"]["Properties"]
    assert door["FromPort"] == door["ToPort"] == {"Ref": "SchemaRegistryPort"}
    assert "RegistryDoor" not in settled(DOCUMENT, {"SchemaRegistryPort": "443"})["Resources"]


def test_more_names_than_there_are_rights_for_are_refused():
    allowed = DOCUMENT["Parameters"]["ActionNames"]["AllowedPattern"]
    assert re.fullmatch(allowed, ",".join(ACTIONS))
    assert not re.fullmatch(allowed, ",".join([*ACTIONS, "one-more"]))
    assert not re.fullmatch(allowed, "tag-sync,*")


def test_metadata_has_a_token_the_disk_is_encrypted_and_nothing_is_public():
    assert DATA["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = DATA["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    (network,) = DATA["NetworkInterfaces"]
    assert network["AssociatePublicIpAddress"] is False
    assert "SecurityGroupIngress" not in DOCUMENT["Resources"]["Doors"]["Properties"]
