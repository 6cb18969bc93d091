"""The part of the model cloud that is S3: objects, conditional writes, listings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dayfly.errors import RightsError
from dayfly.flows import calls


@dataclass
class ModelBucket:
    """The objects of the project's bucket, and those of others.

    `written`: when a stored file was written; one without an entry was long ago.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    foreign: dict[str, dict[str, bytes]] = field(default_factory=dict)  # other buckets
    denied: set[str] = field(default_factory=set)  # buckets that refuse every request

    def etag(self, key: str) -> str:
        return hashlib.md5(self.objects[key]).hexdigest()

    def json(self, key: str) -> dict[str, Any]:
        return json.loads(self.objects[key])

    def place(self, bucket: str) -> dict[str, bytes]:
        """Return the objects of a bucket; empty for the project's own."""
        if bucket in self.denied:
            raise RightsError(f"AccessDenied: no rights in {bucket}")
        return self.foreign.setdefault(bucket, {}) if bucket else self.objects

    def get(self, call: calls.Get) -> calls.Stored | calls.TooLarge | None:
        objects = self.place(call.bucket)
        if call.key not in objects:
            if call.bucket:
                raise RightsError("AccessDenied: who may not list a bucket is not told that there is no such key")
            return None
        body = objects[call.key]
        etag = hashlib.md5(body).hexdigest()
        return calls.Stored(body, etag) if len(body) <= call.most else calls.TooLarge(etag)

    def put_new(self, call: calls.PutNew) -> bool:
        return self.place(call.bucket).setdefault(call.key, call.body) == call.body

    def put_match(self, call: calls.PutMatch) -> bool:
        objects = self.place(call.bucket)
        if call.key not in objects or hashlib.md5(objects[call.key]).hexdigest() != call.etag:
            return objects.get(call.key) == call.body
        objects[call.key] = call.body
        return True

    def copy(self, call: calls.Copy) -> None:
        for one in call.copies:
            assert len(self.objects[one.source]) == one.size
            self.place(call.bucket)[one.to] = self.objects[one.source]

    def put(self, call: calls.Put) -> None:
        self.objects[call.key] = call.body

    def delete(self, call: calls.Delete) -> bool:
        if call.key not in self.objects:
            return True
        if call.etag is not None and self.etag(call.key) != call.etag:
            return False
        del self.objects[call.key]
        return True

    def delete_many(self, call: calls.DeleteMany) -> None:
        for key in call.keys:
            self.objects.pop(key, None)

    def list_all(self, call: calls.List) -> tuple[str, ...]:
        keys = sorted(key for key in self.objects if key.startswith(call.prefix))
        if call.folders:
            cut = len(call.prefix)
            return tuple(sorted({call.prefix + key[cut:].split("/")[0] + "/" for key in keys if "/" in key[cut:]}))
        return tuple(keys)

    def list_from(self, call: calls.ListFrom) -> tuple[str, ...]:
        keys = sorted(key for key in self.objects if key.startswith(call.prefix) and key > call.after)
        return tuple(keys[: call.most])

    def list_older(self, call: calls.ListOlder) -> tuple[str, ...]:
        begin = datetime(1970, 1, 1, tzinfo=UTC)
        found = (
            key for key in self.objects if key.startswith(call.prefix) and self.written.get(key, begin) < call.before
        )
        return tuple(sorted(found))

    def list_sizes(self, call: calls.ListSizes) -> Mapping[str, int]:
        keys = self.list_from(calls.ListFrom(call.prefix, call.after, calls.PAGE))
        return {key: len(self.objects[key]) for key in keys}

    def sign_get(self, call: calls.SignGet) -> str:
        return f"https://model/{call.key}?{call.seconds}"

    def download(self, call: calls.Download) -> calls.Downloaded | None:
        body = self.objects.get(call.key)
        if body is None:
            return None
        path = Path(call.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return calls.Downloaded(size=len(body), sha256=hashlib.sha256(body).hexdigest())
