"""Unfinished multipart uploads on disk, so that a cloud that is killed goes on with them; MiniStack holds them in memory only.

    DIR/uploads/ID/upload.json    what CreateMultipartUpload said, and the account
    DIR/uploads/ID/NUMBER         a part: one line of JSON that describes it, then its content

A completed upload's object is MiniStack's to write; what S3 answers to whom is s3.py's.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError
from localcloud.ministack import seams

_ID = re.compile(rb"<UploadId>([0-9A-Za-z-]+)</UploadId>")


class Uploads:
    """The uploads of MiniStack's S3 module, kept in `home`."""

    def __init__(self, s3: Any, home: Path, account: Callable[[], str]) -> None:
        self._s3 = s3
        self._home = home
        self._account = account
        home.mkdir(mode=0o700, exist_ok=True)

    def restore(self) -> None:
        """Have MiniStack know what an earlier cloud did not finish. Raises CloudError for what is damaged."""
        for place in sorted(self._home.iterdir()):
            try:
                said = json.loads((place / "upload.json").read_text())
                parts = {int(file.name): _read(file) for file in place.iterdir() if file.name.isdecimal()}
                account, upload = said["account"], said["upload"] | {"parts": parts}
            except FileNotFoundError:
                # Killed while it was made or removed: nobody was told of it, or it is over.
                shutil.rmtree(place, ignore_errors=True)
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                remedy = "Remove that folder: the unfinished upload in it is gone then."
                raise CloudError(f"{place} is damaged: {error}.", remedy) from error
            seams.within(account, "", lambda name=place.name, upload=upload: self._put(name, upload))  # type: ignore[misc]

    def handler(self, inner: Any) -> Any:
        """S3's handler, with what it does to uploads written before it answers."""

        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            said = query.get("uploadId") or [""]
            upload = said[0] if isinstance(said, list) else said
            answer = await inner(method, path, headers, body, query)
            begun = _ID.search(answer[2]) if method == "POST" and "uploads" in query and answer[0] == 200 else None
            upload = begun[1].decode() if begun else upload
            number = query.get("partNumber") if upload and method == "PUT" and answer[0] == 200 else None
            try:
                if begun:
                    self._write(upload)
                elif number:
                    self._write_part(upload, int(number[0] if isinstance(number, list) else number))
            except OSError as error:
                self._forget(upload, number)
                text = f"The disk did not take the upload: {error.strerror}."
                answer = self._s3._error("InternalError", text, 500, path)
            if upload and _ID.fullmatch(f"<UploadId>{upload}</UploadId>".encode()) and not self._known(upload):
                shutil.rmtree(self._home / upload, ignore_errors=True)
            return answer

        return handle

    def _known(self, upload: str) -> bool:
        return upload in self._s3._multipart_uploads

    def _put(self, upload: str, record: dict[str, Any]) -> None:
        self._s3._multipart_uploads[upload] = record

    def _forget(self, upload: str, number: Any) -> None:
        """A part, or without a number the whole upload, is none."""
        if not number:
            self._s3._multipart_uploads.pop(upload, None)
        else:
            parts = self._s3._multipart_uploads[upload]["parts"]
            parts.pop(int(number[0] if isinstance(number, list) else number), None)

    def _write(self, upload: str) -> None:
        record = {name: value for name, value in self._s3._multipart_uploads[upload].items() if name != "parts"}
        place = self._home / upload
        place.mkdir(mode=0o700, exist_ok=True)
        write_whole(place / "upload.json", json.dumps({"account": self._account(), "upload": record}).encode())

    def _write_part(self, upload: str, number: int) -> None:
        part = self._s3._multipart_uploads[upload]["parts"][number]
        said = json.dumps({name: value for name, value in part.items() if name != "body"}).encode()
        write_whole(self._home / upload / str(number), said + b"\n" + part["body"])


def _read(file: Path) -> dict[str, Any]:
    """A part as MiniStack holds it. Raises ValueError when it is not what its first line says."""
    said, _, body = file.read_bytes().partition(b"\n")
    part: dict[str, Any] = json.loads(said) | {"body": body}
    if part["size"] != len(body):
        raise ValueError(f"part {file.name} has {len(body)} bytes, not {part['size']}")
    return part
