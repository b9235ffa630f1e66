"""A test cluster with security: what its nodes' settings say of it, how a client gets in, and who may do what.

Owns users, passwords and access. Every way in is the same principal, but for SSL alone, which has none and, like the
listener that tests prepare things on, may do everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Literal, get_args

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafka.certificates import make_certificates
from kafka.listeners import MTLS, SASL, SSL
from kafka.unsecured_tokens import SCOPE

Mode = Literal["SSL", "mTLS", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
USER: Final = "poller"
REAUTHENTICATE_MS: Final = 5000
ANSWER_SECONDS: Final = 10.0

_LOGIN: Final = "org.apache.kafka.common.security"
_VALIDATOR: Final = f"{_LOGIN}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"


class Security:
    """One user with one password, known to PLAIN and both SCRAM; certificates; a validator that takes any token."""

    def __init__(self, directory: Path) -> None:
        self.certificates = make_certificates(directory, USER)
        self.password = f"pass-{secrets.token_urlsafe(18)}"

    def settings(self) -> dict[str, object]:
        """What a node's settings say of its secure listeners."""
        sasl = f"listener.name.{SASL.lower()}"
        mtls = f"listener.name.{MTLS.lower()}"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificates.server,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.certificates.authority,
            f"{mtls}.ssl.client.auth": "required",
            f"{mtls}.ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            f"{sasl}.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required "
            f'user_{USER}="{self.password}";',
            f"{sasl}.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
            f"{sasl}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
            f"{sasl}.oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required "
            f'unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="{SCOPE}";',
            f"{sasl}.oauthbearer.sasl.server.callback.handler.class": _VALIDATOR,
            "connections.max.reauth.ms": REAUTHENTICATE_MS,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    def format_arguments(self) -> list[str]:
        """What the storage is formatted with: SCRAM's users are kept there."""
        users = [f"{name}=[name={USER},password={self.password}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
        return [word for user in users for word in ("--add-scram", user)]

    def client(self, mode: Mode) -> dict[str, str]:
        """librdkafka's properties for a client that is let in."""
        trust = {"ssl.ca.location": str(self.certificates.authority)}
        match mode:
            case "SSL":
                return {"security.protocol": "SSL", **trust}
            case "mTLS":
                mine = {"ssl.certificate.location": str(self.certificates.client)}
                return {**self.client("SSL"), **mine, "ssl.key.location": str(self.certificates.client_key)}
            case "OAUTHBEARER":
                of = {"oauth_cb": "unsecured_tokens:token", "sasl.oauthbearer.config": f"principal={USER}"}
                return {"security.protocol": "SASL_SSL", **trust, "sasl.mechanism": mode, **of}
            case _:
                login = {"sasl.username": USER, "sasl.password": self.password}
                return {"security.protocol": "SASL_SSL", **trust, "sasl.mechanism": mode, **login}


def listener_for(mode: Mode) -> str:
    """The listener that lets clients in this way."""
    return {"SSL": SSL, "mTLS": MTLS}.get(mode, SASL)


class Access:
    """Who may read which topics and groups, changed while the cluster runs. `bootstrap` is where admins get in."""

    def __init__(self, bootstrap: str, user: str = USER) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._principal = f"User:{user}"

    def give(self, *, topics: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """Let the user read these, which lets it describe them too. `*` is all."""
        self._each(self._admin.create_acls, AclBinding, AclPermissionType.ALLOW, topics, groups)

    def let_write(self, topic: str) -> None:
        """Let the user write to this topic."""
        self._allow(self._bound(ResourceType.TOPIC, topic, AclOperation.WRITE))

    def let_write_idempotently(self, topic: str) -> None:
        """The same with all that MSK asks for: see what the topic is like, and be idempotent on the cluster."""
        self._allow(
            self._bound(ResourceType.TOPIC, topic, AclOperation.WRITE),
            self._bound(ResourceType.TOPIC, topic, AclOperation.DESCRIBE_CONFIGS),
            self._bound(ResourceType.BROKER, "kafka-cluster", AclOperation.IDEMPOTENT_WRITE),
        )

    def take(self, *, topics: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """Take away what was given for these."""
        self._each(self._admin.delete_acls, AclBindingFilter, AclPermissionType.ALLOW, topics, groups)

    def _bound(self, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
        of = (kind, name, ResourcePatternType.LITERAL, self._principal, "*")
        return AclBinding(*of, operation, AclPermissionType.ALLOW)

    def _allow(self, *bindings: AclBinding) -> None:
        for answer in self._admin.create_acls(list(bindings)).values():
            answer.result(ANSWER_SECONDS)

    def _each(
        self,
        ask: Callable[..., dict[object, Future[object]]],
        kind: type,
        permission: AclPermissionType,
        topics: Iterable[str],
        groups: Iterable[str],
    ) -> None:
        wanted = [(ResourceType.TOPIC, name) for name in topics] + [(ResourceType.GROUP, name) for name in groups]
        rest = (ResourcePatternType.LITERAL, self._principal, "*", AclOperation.READ, permission)
        for answer in ask([kind(resource, name, *rest) for resource, name in wanted]).values():
            answer.result(ANSWER_SECONDS)
