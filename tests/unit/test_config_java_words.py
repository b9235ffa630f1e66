"""Kafka's settings in Java's words: in the file, with and without a prefix, in variables, and for dead letters."""

from __future__ import annotations

import pytest

from datahub_poller.config import consumer_properties
from datahub_poller.config.effective import effective, secrets_of
from datahub_poller.config.java_words import translated
from datahub_poller.config.producer import producer_properties
from datahub_poller.msk import Identity, identity
from support.action_files import action_of, problems_of

CONSUMER = "source.config.connection.consumer_config"
PRODUCER = "dead_letter.config.producer_config"
KAFKA_LETTERS = {
    "dead_letter.type": "kafka",
    "dead_letter.config.topic": "letters",
    "dead_letter.config.directory": None,
}
SCRAM = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="pa\\"ss";'
IAM = "software.amazon.msk.auth.iam.IAMLoginModule required;"
IAM_ROLE = (
    'software.amazon.msk.auth.iam.IAMLoginModule required awsRoleArn="arn:aws:iam::123456789012:role/reader" '
    'awsRoleSessionName="events" awsProfileName="prod" awsStsRegion="eu-west-1" awsDebugCreds=true;'
)
IAM_HANDLER = "software.amazon.msk.auth.iam.IAMClientCallbackHandler"
OAUTH = "org.apache.kafka.common.security.oauthbearer"
OF_MSK = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "AWS_MSK_IAM",
    "sasl.jaas.config": IAM,
    "sasl.client.callback.handler.class": IAM_HANDLER,
}
OF_SCRAM = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": SCRAM}
LOGIN = ("security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "oauth_cb", "sasl.jaas.config")
KERBEROS = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;"


def variables(given):
    return {f"KAFKA_PROPERTIES_{key.upper().replace('.', '_')}": value for key, value in given.items()}


def in_the_file(given, prefix=""):
    return consumer_properties(action_of({f"{CONSUMER}/{prefix}{key}": value for key, value in given.items()}), {})


def in_variables(given):
    return consumer_properties(action_of({}), variables(given))


def for_letters(given):
    action = action_of({**KAFKA_LETTERS, **{f"{PRODUCER}/{key}": value for key, value in given.items()}})
    return producer_properties(action, {}), []


WAYS = {
    "file": in_the_file,
    "prefixed": lambda given: in_the_file(given, "kafka.properties."),
    "variables": in_variables,
    "letters": for_letters,
}
way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@way
def test_scram_in_jaas_is_a_user_and_a_password(way):
    properties, warnings = way(OF_SCRAM)
    assert [properties.get(key) for key in LOGIN] == ["SASL_SSL", "SCRAM-SHA-512", "me", 'pa"ss', None, None]
    assert warnings == []


@way
def test_iam_in_jaas_is_msk_iam(way):
    properties, warnings = way(OF_MSK)
    assert [properties.get(key) for key in LOGIN] == ["SASL_SSL", "OAUTHBEARER", None, None, "msk-iam", None]
    assert "sasl.client.callback.handler.class" not in properties
    assert warnings == []


@way
def test_the_options_of_iam_are_whose_tokens_are_made(way):
    properties, _ = way({**OF_MSK, "sasl.jaas.config": IAM_ROLE})
    role = "arn:aws:iam::123456789012:role/reader"
    wanted = Identity(None, role, None, session_name="events", profile="prod", sts_region="eu-west-1")
    assert identity(properties["sasl.oauthbearer.config"]) == wanted


@pytest.mark.parametrize(
    "given",
    [
        {"sasl.mechanism": "AWS_MSK_IAM"},
        {"sasl.mechanisms": "aws_msk_iam"},
        {"sasl.jaas.config": IAM},
        {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.login.callback.handler.class": "software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler",
            "sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
        },
    ],
)
def test_a_part_of_iams_words_is_enough(given):
    assert in_the_file(given)[0]["oauth_cb"] == "msk-iam"


def test_oidc_in_jaas_is_librdkafkas_own():
    properties, _ = in_the_file(
        {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
            "sasl.login.callback.handler.class": f"{OAUTH}.OAuthBearerLoginCallbackHandler",
            "sasl.jaas.config": f"{OAUTH}.OAuthBearerLoginModule required "
            'clientId="me" clientSecret="hush-hush" scope=\'a b\';',
        }
    )
    found = {key: value for key, value in properties.items() if key.startswith("sasl.oauthbearer.")}
    assert found == {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.client.secret": "hush-hush",
        "sasl.oauthbearer.scope": "a b",
    }


def test_what_the_file_says_wins_over_variables_in_javas_words():
    given = {"sasl.username": "file", "sasl.password": "file's"}
    action = action_of({f"{CONSUMER}/{key}": value for key, value in given.items()})
    properties, warnings = consumer_properties(action, variables(OF_SCRAM))
    assert (properties["sasl.username"], properties["sasl.password"]) == ("file", "file's")
    assert warnings == []
    auth = action_of({"source.config.connection.auth": {"type": "msk-iam", "region": "eu-west-1"}})
    properties, warnings = consumer_properties(auth, variables({**OF_MSK, "sasl.jaas.config": IAM_ROLE}))
    assert properties["sasl.oauthbearer.config"] == "region=eu-west-1"
    assert warnings == []


def test_auth_msk_iam_and_javas_words_for_it_do_not_contradict():
    keys = {f"{CONSUMER}/{key}": value for key, value in OF_MSK.items()}
    assert action_of({**keys, "source.config.connection.auth": "msk-iam"})


def test_pem_files_go_on_under_librdkafkas_names():
    given = {
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/ca",
        "ssl.keystore.type": "pem",
        "ssl.keystore.location": "/both",
        "ssl.key.password": "hush",
    }
    assert translated(given) == (
        {
            "ssl.key.password": "hush",
            "ssl.ca.location": "/ca",
            "ssl.certificate.location": "/both",
            "ssl.key.location": "/both",
        },
        [],
    )
    inline = {"ssl.truststore.certificates": "A", "ssl.keystore.key": "B", "ssl.keystore.certificate.chain": "C"}
    assert translated(inline).properties == {"ssl.ca.pem": "A", "ssl.key.pem": "B", "ssl.certificate.pem": "C"}
    assert translated({"ssl.truststore.location": "/ca.pem"}).properties == {"ssl.ca.location": "/ca.pem"}


def test_a_pkcs12_key_store_is_taken_as_it_is_also_from_variables():
    given = {"ssl.keystore.location": "/client.p12", "ssl.keystore.password": "hush", "ssl.keystore.type": "PKCS12"}
    for properties, warnings in (in_the_file(given), in_variables(given)):
        assert (properties["ssl.keystore.location"], properties["ssl.keystore.password"]) == ("/client.p12", "hush")
        assert warnings == []
    alone, warnings = in_variables({"ssl.keystore.location": "/client.p12"})
    assert "ssl.keystore.location" not in alone
    assert warnings == [
        "KAFKA_PROPERTIES_SSL_KEYSTORE_LOCATION is left out: it needs KAFKA_PROPERTIES_SSL_KEYSTORE_PASSWORD"
    ]


UNTRANSLATABLE = {
    "sasl.jaas.config": KERBEROS,
    "ssl.truststore.location": "/trust.jks",
    "ssl.truststore.password": "canary",
    "ssl.keystore.location": "/keys.jks",
    "ssl.keystore.password": "canary",
}


def test_what_has_no_counterpart_is_told_all_at_once_with_the_remedy():
    found = problems_of({f"{CONSUMER}/{key}": value for key, value in UNTRANSLATABLE.items()})
    _, warnings = in_variables(UNTRANSLATABLE)
    for told in (found, warnings):
        assert len(told) == 3
        trust, keys, kerberos = told
        assert "Java key store" in trust
        assert "keytool -list -rfc -keystore FILE > ca.pem" in trust
        assert "Java key store" in keys
        assert "PKCS12; then set ssl.keystore.location to client.p12" in keys
        assert "Krb5LoginModule" in kerberos
        assert "Kerberos is not in this client: use SCRAM, OAUTHBEARER or a client certificate" in kerberos
        assert "canary" not in str(told)
    assert all(warning.startswith("KAFKA_PROPERTIES_S") for warning in warnings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sasl.jaas.config": "a.B required;"}, "names B, which has no counterpart"),
        ({"sasl.jaas.config": "a.B required; c.D required;"}, "must hold one login module, and holds 2"),
        ({"sasl.jaas.config": 'a.PlainLoginModule required password="canary"'}, "is not JAAS: it must end with ;"),
        ({"sasl.jaas.config": f'{IAM[:-1]} awsRoleArn="a canary";'}, "an empty awsRoleArn, or one with blanks"),
        ({"sasl.jaas.config": f'{IAM[:-1]} awsRoleSecretAccessKey="canary";'}, "has awsRoleSecretAccessKey"),
        ({"sasl.client.callback.handler.class": "my.Handler"}, "is a property of the Java client"),
        ({"ssl.truststore.location": "/a.p12"}, "openssl pkcs12"),
        ({"kafka.properties.client.id": "a", "client.id": "b"}, "says again what client.id says"),
    ],
)
def test_one_that_has_no_counterpart_is_one_line_with_the_remedy(given, said):
    (problem,) = problems_of({f"{CONSUMER}/{key}": value for key, value in given.items()})
    assert said in problem
    assert "canary" not in problem


def test_a_password_in_jaas_is_a_secret_wherever_it_came_from():
    for action, environ in (
        (action_of({f"{CONSUMER}/{key}": value for key, value in OF_SCRAM.items()}), {}),
        (action_of({}), variables(OF_SCRAM)),
    ):
        assert 'pa"ss' in secrets_of(action, environ)
        shown = str(effective(action, environ))
        assert 'pa"ss' not in shown
        assert 'pa\\"ss' not in shown
