"""Amazon MSK's IAM authentication against a real Kafka that judges tokens as MSK does, with credentials over HTTP."""

from __future__ import annotations

import json
import time

import pytest

from kafka.asks import Asks
from kafka.msk import MSK, REGION, SESSION_MS
from kafka.secure_bed import SecureStage
from support.aws_identity import ARN, AwsIdentity
from support.commands import ran
from support.kafka_topics import make_topic
from support.recorded import all_accounted_for, commits_not_ahead, first_hand_outs_in_order
from support.recorded_calls import PERSON
from support.traffic import KIP_848

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("msk-kafka"), pytest.mark.deep]

AUTH = "source/config/connection/auth"
BOOTSTRAP = "source/config/connection/bootstrap"
ROLE = "arn:aws:iam::210987654321:role/datahub/events-reader"
STATIC = {"group_instance_id": "{}"}
DATAHUBS = "datahub_actions.utils.kafka_msk_iam:oauth_cb"


@pytest.fixture(autouse=True)
def asks(msk_kafka):
    with Asks(msk_kafka) as asks:
        yield asks


@pytest.fixture
def stage(msk_kafka, tmp_path, unique):
    with SecureStage(msk_kafka, "SSL", tmp_path, unique) as stage:
        stage.bootstrap = msk_kafka.addresses(MSK)
        stage.trust = stage.bed.consumer.pop("ssl.ca.location")
        stage.bed.consumer.clear()
        stage.create(2, "pe")
        stage.give("pe")
        # DataHub's package may be there or not: it is never imported.
        package = tmp_path / "datahub_actions"
        package.mkdir()
        (package / "__init__.py").write_text("raise ImportError('nobody is to import this')\n")
        yield stage


@pytest.fixture
def people(msk_kafka):
    yield msk_kafka.msk.people
    msk_kafka.msk.people.set_apart(0)


@pytest.fixture
def aws(people):
    with AwsIdentity(people.made) as identity:
        yield identity


def action(stage, auth, changes=None, **consumer):
    consumer = {"ssl_ca_location": stage.trust, **consumer}
    return stage.action({BOOTSTRAP: stage.bootstrap, AUTH: auth, **(changes or {})}, **consumer)


def datahubs(stage, **consumer):
    """DataHub's own way of saying it, as its users have it."""
    said = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_method": "default"}
    file = action(stage, None, {}, **said, **consumer)
    document = json.loads(file.read_text())
    document["source"]["config"]["connection"]["consumer_config"]["oauth_cb"] = DATAHUBS
    file.write_text(json.dumps(document))
    return file


def send(stage):
    for partition in (0, 1):
        stage.send("pe", partition, 10)


def whole(stage, poller):
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed")
    all_accounted_for(stage.recorded(), stage.lettered(), stage.produced)
    first_hand_outs_in_order(stage.recorded())


def letters_in(topic):
    return {"dead_letter": {"type": "kafka", "config": {"topic": topic}}, "options/failed_events_dir": None}


def silent_on(poller, *secrets):
    said = poller.text()
    for secret in secrets:
        assert secret not in said


def test_one_word_with_the_containers_role(stage, aws):
    """With all three topics, as most have it."""
    stage.create(1, "mcl", "mcl_timeseries")
    stage.give("mcl", "mcl_timeseries")
    send(stage)
    stage.send("mcl", 0, 5)
    stage.send("mcl_timeseries", 0, 5)
    poller = stage.start(action(stage, "msk-iam"), **aws.environment())
    whole(stage, poller)
    assert poller.stop() == 0
    assert aws.actions("container")


def test_datahubs_name_for_it_without_its_package(stage, people):
    person = people.made(session=False)
    send(stage)
    poller = stage.start(
        datahubs(stage),
        AWS_ACCESS_KEY_ID=person.access,
        AWS_SECRET_ACCESS_KEY=person.secret,
        AWS_REGION=REGION,
        AWS_EC2_METADATA_DISABLED="true",
    )
    whole(stage, poller)
    assert poller.stop() == 0
    silent_on(poller, person.secret)


def test_a_role_is_assumed_with_its_external_id(stage, aws, people):
    """Whoever asks for the role may not connect: only the role's own credentials get in."""
    poor = people.made(known=False)
    send(stage)
    auth = {"type": "msk-iam", "region": REGION, "role": ROLE, "external_id": "tenant-7/a"}
    environ = {
        **aws.environment(),
        "AWS_ACCESS_KEY_ID": poor.access,
        "AWS_SECRET_ACCESS_KEY": poor.secret,
        "AWS_SESSION_TOKEN": poor.token,
        "AWS_REGION": "us-west-2",
    }
    poller = stage.start(action(stage, auth), **environ)
    whole(stage, poller)
    assert poller.stop() == 0
    (asked,) = aws.actions("AssumeRole")
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (ROLE, "tenant-7/a", "datahub-poller")


def test_credentials_that_end_soon_are_renewed_and_nobody_notices(stage, aws, people):
    """A token outlives its credentials by its own account: it is renewed before they end, with new ones."""
    aws.give = lambda: people.made(lifetime=40)
    send(stage)
    poller = stage.start(action(stage, "msk-iam"), **aws.environment())
    whole(stage, poller)
    first = len(aws.actions("container"))
    poller.until(lambda: len(aws.actions("container")) >= first + 2, "the credentials are not renewed", 60)
    send(stage)
    whole(stage, poller)
    assert poller.lines("kafka is in trouble") == []
    assert poller.stop() == 0


def test_a_connection_outlives_its_sessions(stage, aws, people):
    """The broker asks for a new authentication every six seconds (KIP-368), in the middle of the traffic."""
    person = people.made()
    aws.give = lambda: person
    send(stage)
    poller = stage.start(action(stage, "msk-iam"), **aws.environment())
    whole(stage, poller)
    before, began = people.times_let_in(person), time.monotonic()
    while time.monotonic() < began + 3 * SESSION_MS / 1000:
        send(stage)
        time.sleep(0.5)
    whole(stage, poller)
    connections = 2  # to the broker as leader and as coordinator
    assert people.times_let_in(person) >= before + 2 * connections, "nobody was asked anew"
    assert poller.lines("kafka is in trouble") == []
    assert poller.stop() == 0


def test_whoever_is_not_known_any_more_is_put_out_at_the_sessions_end(stage, aws, people):
    send(stage)
    poller = stage.start(action(stage, "msk-iam"), **aws.environment())
    whole(stage, poller)
    people.forget_all()
    poller.wait_for("kafka is in trouble", patience=60)
    poller.kill()


@pytest.mark.parametrize(
    "consumer",
    [{}, STATIC, KIP_848, KIP_848 | STATIC],
    ids=["classic", "classic-static", "kip-848", "kip-848-static"],
)
def test_two_members_are_in_the_group_in_any_way_and_one_comes_back(consumer, stage, aws):
    """Each way asks the broker's authorizer in its own requests, which are recorded and judged."""

    def member(name):
        named = {key: value.format(name) for key, value in consumer.items()}
        return stage.start(action(stage, "msk-iam", **named), f"{name}.log", **aws.environment())

    def share(*members):
        for each in members:
            each.status_when(lambda status: status["assigned"] == 1, "the two do not share")

    one = member("one")
    one.status_when(lambda status: status["assigned"] == 2, "nothing assigned")
    two = member("two")
    share(one, two)
    assert one.stop() == 0
    one = member("one")
    share(one, two)
    send(stage)
    whole(stage, one)
    assert [one.stop(), two.stop()] == [0, 0]


@pytest.mark.parametrize("consumer", [{}, KIP_848], ids=["classic", "kip-848"])
def test_records_that_are_gone_are_passed_over(consumer, stage, aws):
    send(stage)
    file = action(stage, "msk-iam", {"source/config/on_gap": "earliest"}, **consumer)
    poller = stage.start(file, **aws.environment())
    whole(stage, poller)
    assert poller.stop() == 0
    gone, left = stage.send("pe", 0, 20), stage.send("pe", 0, 20)
    stage.bed.delete_records(left[0].topic, 0, left[0].offset)
    stage.produced -= set(gone)
    poller = stage.start(file, **aws.environment())
    whole(stage, poller)
    poller.status_when(lambda status: status["counters"].get("records_missing") == 20, "they are not counted")
    assert poller.stop() == 0


def test_dead_letters_go_to_the_same_cluster_and_come_back_with_the_same_identity(stage, aws, unique, asks):
    topic = unique("letters")
    stage.bed.create_topic(topic, 2)
    stage.access.let_write_idempotently(topic)
    stage.send("pe", 0, 5, poison=[2])
    file = action(stage, "msk-iam", letters_in(topic))
    checked = ran("check", "-c", str(file), cwd=stage.directory, environ=aws.environment())
    assert checked.code == 0, checked.all
    poller = stage.start(file, **aws.environment())
    poller.until(lambda: sum(stage.committed().values()) == 5, "not committed")
    assert poller.stop() == 0
    assert sum(stage.bed.end_offsets(topic).values()) == 1

    asks.by(PERSON)
    stage.access.give(topics=[topic])
    stage.plan(mended=True)
    words = ("dead-letters", "redrive", "-c", str(file), "--to", "handler", "--yes", "--why", "mended")
    done = ran(*words, cwd=stage.directory, environ=aws.environment())
    assert done.code == 0, done.all
    words = ("dead-letters", "list", "-c", str(file), "--json", "--state", "all")
    listed = ran(*words, cwd=stage.directory, environ=aws.environment())
    assert json.loads(listed.out)["state"] == "redriven", listed.all


# -- refused, and why


def test_a_topic_for_letters_that_is_compacted(stage, aws, unique, msk_kafka):
    topic = unique("letters")
    make_topic(msk_kafka.bootstrap, topic, [[1]], cleanup_policy="compact,delete")
    stage.access.let_write_idempotently(topic)
    found = refused(stage, action(stage, "msk-iam", letters_in(topic)), aws.environment())
    each_says(found, topic, "cleanup.policy is compact,delete")


def refused(stage, file, environ):
    """What `check` says, and `run`; both end with 3."""
    checked = ran("check", "-c", str(file), cwd=stage.directory, environ=environ)
    assert checked.code == 3, checked.all
    poller = stage.start(file, "refused.log", **environ)
    assert poller.wait(30) == 3
    (line,) = poller.lines("could not start")
    return " ".join(checked.out.split()), line["reason"]


def each_says(found, *words):
    for text in found:
        for word in words:
            assert word in text, text


@pytest.mark.parametrize(("apart", "side"), [(1200, "behind"), (-1500, "ahead of")], ids=["behind", "ahead"])
def test_a_clock_that_is_off(apart, side, stage, aws, people):
    people.set_apart(apart)
    aws.apart = apart
    each_says(refused(stage, action(stage, "msk-iam"), aws.environment()), "refused", side, "AWS's", "Time Sync")


def test_credentials_that_have_expired(stage, aws, people):
    person = people.made(lifetime=-60)
    aws.refusal = ("ExpiredToken", "The security token included in the request is expired")
    environ = {
        **aws.environment(),
        "AWS_ACCESS_KEY_ID": person.access,
        "AWS_SECRET_ACCESS_KEY": person.secret,
        "AWS_SESSION_TOKEN": person.token,
    }
    found = refused(stage, action(stage, "msk-iam"), environ)
    each_says(found, "not valid any more (ExpiredToken)")
    for text in found:
        assert person.secret not in text
        assert person.token not in text


def test_somebody_whom_the_cluster_does_not_let_in(stage, aws, people):
    aws.give = lambda: people.made(known=False)
    found = refused(stage, action(stage, "msk-iam"), aws.environment())
    each_says(found, "Access denied", ARN, "kafka-cluster:Connect", REGION)


def test_a_token_for_another_region(stage, aws):
    found = refused(stage, action(stage, {"type": "msk-iam", "region": "us-east-2"}), aws.environment())
    each_says(found, "kafka-cluster:Connect", "us-east-2")


def test_where_aws_cannot_be_asked_it_says_what_to_look_at(stage, aws, people):
    person = people.made(known=False, session=False)
    environ = {
        **aws.environment(),
        "AWS_ACCESS_KEY_ID": person.access,
        "AWS_SECRET_ACCESS_KEY": person.secret,
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    }
    found = refused(stage, action(stage, "msk-iam"), environ)
    each_says(found, "expired", "clock", "kafka-cluster:Connect", REGION)


def test_a_role_that_may_not_be_assumed(stage, aws):
    aws.refusal = ("AccessDenied", "not authorized to perform: sts:AssumeRole")
    auth = {"type": "msk-iam", "role": ROLE, "external_id": "x7"}
    found = refused(stage, action(stage, auth), aws.environment())
    each_says(found, "source.config.connection.auth", ROLE, "cannot be assumed", "x7", "trust policy")


def test_no_credentials_at_all(stage, aws):
    environ = aws.environment()
    del environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    found = refused(stage, action(stage, "msk-iam"), environ)
    each_says(found, "source.config.connection.auth", "AWS has no credentials", "AWS_PROFILE")


def test_credentials_that_fail_later_and_come_back(stage, aws, people):
    """Red with the reason, nothing committed that was not handled, and on again by itself."""
    aws.give = lambda: people.made(lifetime=30)
    send(stage)
    poller = stage.start(action(stage, "msk-iam"), **aws.environment())
    whole(stage, poller)
    aws.down = True
    poller.status_when(
        lambda status: status["red"] and any("gives no token" in each for each in status["reasons"]), "not red", 60
    )
    send(stage)
    commits_not_ahead(stage.committed(), stage.recorded(), stage.lettered(), stage.produced)
    aws.down = False
    poller.until(lambda: stage.drained() and stage.all_committed(), "not drained and committed", 60)
    poller.status_when(lambda status: not status["red"], "it stays red")
    whole(stage, poller)
    assert poller.stop() == 0


def test_tail_comes_in_by_the_same_word(stage, aws, asks):
    asks.by("tail")
    send(stage)
    file = action(stage, "msk-iam")
    seen = ran("tail", "-c", str(file), "--since", "earliest", cwd=stage.directory, environ=aws.environment())
    assert seen.code == 0, seen.all
    assert len(seen.out.splitlines()) >= len(stage.produced)
