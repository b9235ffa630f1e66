"""MSK's IAM in a word: what it stands for, where the region comes from, and every lack in words, without a broker."""

from __future__ import annotations

import base64
import sys

import pytest

from datahub_poller.config import parse_action
from datahub_poller.config.producer import producer_properties
from datahub_poller.config.properties import consumer_properties
from datahub_poller.errors import CannotStart, ConfigError
from datahub_poller.kafka.msk_iam import MskIam
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.msk import DATAHUBS, MSK_IAM, SETTINGS, Identity, identity, with_region

NOW = 1_800_000_000.0
ROLE = "arn:aws:iam::123456789012:role/reader"
PROVISIONED = (
    "b-1.events.abc123.c2.kafka.eu-west-3.amazonaws.com:9098,b-2.events.abc123.c2.kafka.eu-west-3.amazonaws.com:9098"
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No credentials and no region from anywhere."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def somebody(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")


def action(connection, **more):
    return parse_action(
        {
            "name": "a",
            "source": {"type": "kafka", "config": {"connection": connection}},
            "handler": {"config": {"function": "m:f"}},
            **more,
        },
        {},
    )


def problems(connection):
    with pytest.raises(ConfigError) as caught:
        action(connection)
    return str(caught.value)


@pytest.mark.parametrize("auth", ["msk-iam", {"type": "msk-iam"}])
def test_the_word_is_tls_oauthbearer_and_our_own_tokens(auth):
    properties, _ = consumer_properties(action({"auth": auth, "bootstrap": PROVISIONED}), {})
    assert properties["security.protocol"] == "SASL_SSL"
    assert properties["sasl.mechanism"] == "OAUTHBEARER"
    assert properties["oauth_cb"] == MSK_IAM
    assert identity(properties[SETTINGS]) == Identity("eu-west-3")


def test_role_and_external_id_travel_with_the_properties_to_letters_too():
    auth = {"type": "msk-iam", "region": "us-gov-west-1", "role": ROLE, "external_id": "t/7"}
    letters = {"type": "kafka", "config": {"topic": "letters"}}
    found = action({"auth": auth, "bootstrap": PROVISIONED}, dead_letter=letters)
    for properties in (consumer_properties(found, {})[0], producer_properties(found, {})):
        assert identity(properties[SETTINGS]) == Identity("us-gov-west-1", ROLE, "t/7")
        assert properties["oauth_cb"] == MSK_IAM


def test_variables_for_kafka_do_not_win_over_the_word():
    environ = {
        "KAFKA_PROPERTIES_SECURITY_PROTOCOL": "PLAINTEXT",
        "KAFKA_PROPERTIES_SASL_MECHANISM": "PLAIN",
        "KAFKA_PROPERTIES_OAUTH_CB": "a:b",
    }
    properties, _ = consumer_properties(action({"auth": "msk-iam"}), environ)
    assert (properties["security.protocol"], properties["sasl.mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert properties["oauth_cb"] == MSK_IAM


@pytest.mark.parametrize(
    ("servers", "region"),
    [
        (PROVISIONED, "eu-west-3"),
        ("boot-abc.c1.kafka-serverless.us-east-1.amazonaws.com:9098", "us-east-1"),
        ("b-1.x.c3.kafka.cn-north-1.amazonaws.com.cn:9098", "cn-north-1"),
        ("b-1-public.x.c2.kafka.ap-southeast-2.amazonaws.com:9198", "ap-southeast-2"),
        ("kafka.example.org:9098", None),
        ("b-1.kafka.eu-west-3.amazonaws.com.example.org:9098", None),
    ],
)
@pytest.mark.parametrize("callback", [MSK_IAM, DATAHUBS])
def test_the_region_is_in_the_names_of_msks_servers(servers, region, callback):
    found = with_region({"oauth_cb": callback, "bootstrap.servers": servers})
    assert identity(found.get(SETTINGS, "")).region == region


def test_a_region_that_is_given_is_kept_and_other_functions_get_nothing():
    given = {"oauth_cb": MSK_IAM, "bootstrap.servers": PROVISIONED, SETTINGS: "region=us-west-2"}
    assert with_region(given) == given
    other = {"oauth_cb": "mine:token", "bootstrap.servers": PROVISIONED}
    assert with_region(other) == other


@pytest.mark.parametrize("settings", ["eu-west-1", "region=", "zone=a", "region=eu-west-1 x"])
def test_settings_that_are_none(settings):
    with pytest.raises(ValueError, match="region=eu-west-1"):
        identity(settings)


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        ({"auth": "msk_iam"}, "auth.type"),
        (
            {"auth": {"type": "msk-iam", "region": "Ireland"}},
            "must be an AWS region (seen: 'Ireland'). Such as eu-west-1.",
        ),
        ({"auth": {"type": "msk-iam", "role": "reader"}}, "must be a role's ARN (seen: 'reader'). Such as arn:aws"),
        ({"auth": {"type": "msk-iam", "external_id": "x 1", "role": ROLE}}, "must be an external id"),
        ({"auth": {"type": "msk-iam", "external_id": "x1"}}, "is for a role to assume. Set role beside it."),
        ({"auth": {"region": "eu-west-1"}}, "auth.type: is required"),
        ({"auth": "msk-iam", "consumer_config": {"security.protocol": "SSL"}}, "Leave it out: it is SASL_SSL."),
        ({"auth": "msk-iam", "consumer_config": {"sasl.mechanisms": "PLAIN"}}, "Leave it out: it is OAUTHBEARER."),
        ({"auth": "msk-iam", "consumer_config": {"oauth_cb": "a:b"}}, "contradicts source.config.connection.auth"),
        ({"auth": "msk-iam", "consumer_config": {"sasl.password": "p"}}, "contradicts source.config.connection.auth"),
    ],
)
def test_what_is_wrong_with_the_section(connection, says):
    assert says in problems(connection)


def test_what_says_the_same_may_stay():
    action({"auth": "msk-iam", "consumer_config": {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}})


# -- tokens


def test_seconds_not_milliseconds(somebody):
    token, expires = MskIam("region=eu-west-1")("")
    assert len(token) > 300
    assert expires == pytest.approx(MskIam("region=eu-west-1")("")[1], abs=2)
    assert expires < 10_000_000_000


def test_without_a_region_datahubs_function_takes_its_own_and_the_word_says_so(somebody):
    token, *_ = TokenSource(DATAHUBS, "")("")
    assert base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).startswith(
        b"https://kafka.us-east-1.amazonaws.com/"
    )
    with pytest.raises(CannotStart, match=r"no AWS region is known.* Set source.config.connection.auth.region"):
        TokenSource(MSK_IAM, "")


def test_the_region_of_the_environment(somebody, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert MskIam("").region == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert MskIam("").region == "eu-south-1"
    assert MskIam("region=us-west-2").region == "us-west-2"


@pytest.mark.parametrize(("name", "key"), [(MSK_IAM, "connection.auth"), (DATAHUBS, "consumer_config.oauth_cb")])
def test_no_credentials_are_told_at_the_start_with_the_key(name, key):
    with pytest.raises(CannotStart, match="AWS has no credentials") as caught:
        TokenSource(name, "region=eu-west-1")
    assert key in str(caught.value)


def test_a_region_that_is_none(somebody, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "nowhere")
    with pytest.raises(CannotStart, match=r"'nowhere' is no AWS region\. Set source.config.connection.auth.region"):
        TokenSource(MSK_IAM, "")


def test_a_profile_that_is_not_there(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CannotStart, match="nobody"):
        TokenSource(MSK_IAM, "region=eu-west-1")


def test_the_extra_is_not_installed(somebody, monkeypatch):
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(CannotStart, match=r"pip install 'datahub-poller\[msk\]'"):
        TokenSource(DATAHUBS, "region=eu-west-1")


def test_a_refusal_of_somebody_elses_tokens_stays_as_it_is(somebody, tmp_path, monkeypatch):
    (tmp_path / "tokens_of_theirs.py").write_text("def token(_):\n    return 't', 9e9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert TokenSource("tokens_of_theirs:token", "").why_refused("no") == "no"


def test_aws_is_asked_once_a_minute_why_a_token_was_refused(somebody, monkeypatch):
    now = [0.0]
    tokens = MskIam("region=eu-west-1", clock=lambda: now[0])
    asked = []
    monkeypatch.setattr(tokens, "diagnosis", lambda: asked.append(now[0]) or f"said at {now[0]:g}")
    assert tokens.why_refused() == "said at 0"
    now[0] = 59.0
    assert tokens.why_refused() == "said at 0"
    now[0] = 60.0
    assert tokens.why_refused() == "said at 60"
    assert asked == [0.0, 60.0]
