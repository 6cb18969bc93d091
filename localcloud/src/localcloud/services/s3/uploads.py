"""Unfinished multipart uploads on disk, so that a cloud that is killed continues them; MiniStack keeps them in memory only.

    DIR/uploads/ID/upload.json    what CreateMultipartUpload answered, and the account
    DIR/uploads/ID/NUMBER         a part: one line of JSON that describes it, then its content

The object of a completed upload is written by MiniStack.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError
from localcloud.ministack import objects, requests
from localcloud.ministack.requests import Handler
from localcloud.services.s3.rules import first

_ANSWERED_ID = re.compile(rb"<UploadId>([0-9A-Za-z-]+)</UploadId>")
_ID = re.compile(r"[0-9A-Za-z-]+")


class Uploads:
    """MiniStack's unfinished uploads, kept in `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(mode=0o700, exist_ok=True)

    def restore(self) -> None:
        """Give MiniStack what an earlier cloud did not finish. Raises CloudError for what is damaged."""
        for folder in sorted(self._home.iterdir()):
            try:
                described = json.loads((folder / "upload.json").read_text())
                parts = {int(file.name): _read(file) for file in folder.iterdir() if file.name.isdecimal()}
                account, upload = described["account"], described["upload"] | {"parts": parts}
            except FileNotFoundError:
                # The cloud was killed while it created or removed the folder: no client knows it, or it is over.
                shutil.rmtree(folder, ignore_errors=True)
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CloudError(
                    f"{folder} is damaged: {error}.", "Remove that folder; the unfinished upload in it is lost."
                ) from error
            with requests.scope(account, ""):
                objects.uploads()[folder.name] = upload

    def keep(self, handler: Handler) -> Handler:
        """Write what a request does to an upload before it is answered."""

        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            answer = await handler(method, path, headers, body, query)
            upload, write = self._change(method, query, answer)
            try:
                write()
            except OSError as error:
                _undo(upload, query)
                text = f"The disk did not take the upload: {error.strerror}."
                answer = objects.error("InternalError", text, 500, path)
            if _ID.fullmatch(upload) and upload not in objects.uploads():
                shutil.rmtree(self._home / upload, ignore_errors=True)
            return answer

        return handle

    def _change(self, method: str, query: Any, answer: Any) -> tuple[str, Callable[[], None]]:
        """Return the id of a request's upload ("" for none), and what writes the request's change of it."""
        upload, number = first(query.get("uploadId")), first(query.get("partNumber"))
        done = answer[0] == 200
        if done and method == "POST" and "uploads" in query and (found := _ANSWERED_ID.search(answer[2])):
            begun = found[1].decode()
            return begun, lambda: self._write(begun)
        if done and method == "PUT" and upload and number:
            return upload, lambda: self._write_part(upload, int(number))
        return upload, lambda: None

    def _write(self, upload: str) -> None:
        record = {name: value for name, value in objects.uploads()[upload].items() if name != "parts"}
        folder = self._home / upload
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(folder / "upload.json", json.dumps({"account": requests.account(), "upload": record}).encode())

    def _write_part(self, upload: str, number: int) -> None:
        part = objects.uploads()[upload]["parts"][number]
        described = json.dumps({name: value for name, value in part.items() if name != "body"}).encode()
        write_atomically(self._home / upload / str(number), described + b"\n" + part["body"])


def _undo(upload: str, query: Any) -> None:
    """Forget a part that could not be written, or the upload if its creation could not."""
    number = first(query.get("partNumber"))
    if number:
        objects.uploads()[upload]["parts"].pop(int(number), None)
    else:
        objects.uploads().pop(upload, None)


def _read(file: Path) -> dict[str, Any]:
    """Return a part as MiniStack keeps it. Raises ValueError when it is not what its first line describes."""
    described, _, body = file.read_bytes().partition(b"\n")
    part: dict[str, Any] = json.loads(described) | {"body": body}
    if part["size"] != len(body):
        raise ValueError(f"part {file.name} has {len(body)} bytes, not {part['size']}")
    return part
