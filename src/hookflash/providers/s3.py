"""Attachments kept in an S3-compatible bucket (extra: hookflash[s3])."""

from importlib import import_module
from typing import Any

import anyio.to_thread

from hookflash.base.errors import Misconfigured, NotFound, Unavailable
from hookflash.base.secret import Secret


class BucketBlobs:
    """One object per attachment, encrypted by the store where it does so by default."""

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: Secret | None = None,
        prefix: str = "media/",
    ) -> None:
        """Raises Misconfigured when boto3 is not installed."""
        try:
            boto3 = import_module("boto3")
            config = import_module("botocore.config").Config
            self._errors = import_module("botocore.exceptions")
        except ImportError:
            raise Misconfigured(
                "HOOKFLASH_MEDIA_BUCKET is set, but boto3 is not installed.", hint="pip install 'hookflash[s3]'"
            ) from None
        self._bucket = bucket
        self._prefix = prefix
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region or "us-east-1",
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key.get_secret_value() if secret_access_key else None,
            config=config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 3, "mode": "standard"}),
        )

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        await self._call("put_object", "keep", Key=self._prefix + key, Body=data, ContentType=content_type)

    async def get(self, key: str) -> bytes:
        def read() -> bytes:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            content: bytes = found["Body"].read()
            return content

        try:
            return await anyio.to_thread.run_sync(read)
        except self._errors.ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                raise NotFound("The attachment is not in the bucket.") from None
            raise Unavailable("The bucket refused to give an attachment.") from error
        except self._errors.BotoCoreError as error:
            raise Unavailable(
                "The bucket cannot be reached.",
                hint="see HOOKFLASH_MEDIA_BUCKET, HOOKFLASH_MEDIA_ENDPOINT and AWS_REGION",
            ) from error

    async def delete(self, key: str) -> None:
        await self._call("delete_object", "delete", Key=self._prefix + key)

    async def _call(self, operation: str, what: str, **arguments: Any) -> None:
        try:
            await anyio.to_thread.run_sync(lambda: getattr(self._client, operation)(Bucket=self._bucket, **arguments))
        except self._errors.ClientError as error:
            raise Unavailable(f"The bucket refused to {what} an attachment.") from error
        except self._errors.BotoCoreError as error:
            raise Unavailable(
                "The bucket cannot be reached.",
                hint="see HOOKFLASH_MEDIA_BUCKET, HOOKFLASH_MEDIA_ENDPOINT and AWS_REGION",
            ) from error
