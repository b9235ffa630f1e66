"""The section `source.config.connection.auth`: how the poller proves to the brokers who it is, in a word.

What the word stands for is in `msk`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from datahub_poller.config.quantities import OneOf
from datahub_poller.config.section import Section, checked
from datahub_poller.config.values import aws_region, external_id_of_a_role, role_arn


class Auth(Section):
    """How the poller proves who it is."""

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, data: Any) -> Any:
        return {"type": data} if isinstance(data, str) else data

    type: Annotated[Literal["msk-iam"], checked(OneOf(("msk-iam",)))] = Field(
        description="`msk-iam`: with AWS's credentials, as Amazon MSK takes them (port 9098). `auth: msk-iam` says the "
        "same. Needs the extra `msk`."
    )
    region: Annotated[str | None, checked(aws_region)] = Field(
        default=None,
        description="The cluster's region. Without it the one in the bootstrap servers' names, then `AWS_REGION`, then "
        "the AWS profile's.",
    )
    role: Annotated[str | None, checked(role_arn)] = Field(
        default=None, description="A role to assume first, by its ARN: for a cluster in another account."
    )
    external_id: Annotated[str | None, checked(external_id_of_a_role)] = Field(
        default=None, description="The external id that this role's trust policy asks for."
    )
