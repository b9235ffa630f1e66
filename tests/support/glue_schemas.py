"""A schema of DataHub's in a Glue registry of moto's, put there by a client of the test's own."""

from __future__ import annotations

import uuid

import boto3

from datahub_poller.demo.samples import schema_text
from support.moto_server import REGION


def register(url: str, schema: str, region: str = REGION, role: str | None = None) -> str:
    """The new version's UUID; with `role` in that one's account, which moto knows by the credentials that it gave."""
    name = f"events-{uuid.uuid4().hex}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    if role is not None:
        sts = boto3.client("sts", region_name=region, endpoint_url=url, **keys)
        given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        keys = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }
    glue = boto3.client("glue", region_name=region, endpoint_url=url, **keys)
    glue.create_registry(RegistryName=name)
    made = glue.create_schema(
        RegistryId={"RegistryName": name},
        SchemaName=schema,
        DataFormat="AVRO",
        Compatibility="NONE",
        SchemaDefinition=schema_text(schema),
    )
    version: str = made["SchemaVersionId"]
    return version
