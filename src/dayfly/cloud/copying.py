"""Answer the call that copies objects inside S3, several at once. No byte of them passes through this process.

CopyObject takes objects of up to 5 GB. A larger one is copied in parts, which S3 puts together at the end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.context import Context
from dayfly.flows import calls

AT_ONCE = 8
LARGEST_COPY = 5 * 10**9
"""Bytes that CopyObject takes for sure: AWS says 5 GB."""
PART = 1 << 30
"""Bytes of one part. S3 takes 10,000 parts."""


def copy(context: Context, call: calls.Copy) -> None:
    """Copy these objects. Raises the error of the first that could not be copied, after the others."""
    s3 = context.aws.client("s3")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(_copy, s3, context.bucket, call.bucket or context.bucket, one) for one in call.copies]
    for each in waiting:
        each.result()


def _copy(s3: Any, own: str, bucket: str, one: calls.Copied) -> None:
    source = {"Bucket": own, "Key": one.source}
    if one.size <= LARGEST_COPY:
        s3.copy_object(Bucket=bucket, Key=one.to, CopySource=source)
    else:
        _in_parts(s3, source, bucket, one)


def _in_parts(s3: Any, source: dict[str, str], bucket: str, one: calls.Copied) -> None:
    target = {"Bucket": bucket, "Key": one.to}
    upload = s3.create_multipart_upload(**target)["UploadId"]

    def copy_part(number: int) -> dict[str, Any]:
        start = (number - 1) * PART
        end = min(start + PART, one.size) - 1
        answer = s3.upload_part_copy(
            **target, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={start}-{end}"
        )
        return {"ETag": answer["CopyPartResult"]["ETag"], "PartNumber": number}

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = list(pool.map(copy_part, range(1, -(-one.size // PART) + 1)))
        s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(ClientError):
            s3.abort_multipart_upload(**target, UploadId=upload)
        raise
