"""What S3 refuses by the look of a request: conditions it does not know, keys too long, uploads put together wrongly.

What a request may do is judged in iam.py; how the answer is kept and raced is s3.py's.
"""

import importlib
import itertools
import xml.etree.ElementTree as ElementTree
from typing import Any

SIGNATURE = ("awsaccesskeyid", "signature", "expires")
_LEAST_PART = 5 << 20
_LONGEST_KEY = 1024
# What a PUT or POST of an object may ask for beside the object itself, and what may stand beside that.
_ASKED: dict[str, dict[str, set[str]]] = {
    "PUT": {
        "tagging": {"versionid"},
        "acl": {"versionid"},
        "retention": {"versionid"},
        "legal-hold": {"versionid"},
        "annotation": {"annotationname", "versionid"},
    },
    "POST": {"uploads": set(), "uploadid": set(), "restore": {"versionid"}, "select": {"select-type", "versionid"}},
}

Refusal = tuple[str, str, int]


def writes_object(method: str, query: Any) -> bool:
    """PutObject, CopyObject and CompleteMultipartUpload, by their method and query; links carry their signature there."""
    asked = _asked(query)
    return asked == {"uploadid"} if method == "POST" else method == "PUT" and not asked


def refusal(method: str, path: str, headers: Any, query: Any) -> Refusal | None:
    """The code, words and status of what S3 refuses without looking at its objects; None where it looks.

    "S3 API Reference", PutObject, If-None-Match ("Expects the '*' (asterisk) character"); Error responses, NotImplemented
    and KeyTooLongError; "S3 User Guide", Naming Amazon S3 objects (1,024 bytes of UTF-8).
    """
    _, _, key = path.lstrip("/").partition("/")
    if len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY:
        return "KeyTooLongError", "Your key is too long", 400
    if not key or method not in _ASKED:
        return None
    asked = _asked(query)
    parts = method == "PUT" and asked == {"partnumber", "uploadid"}
    if (
        asked
        and not parts
        and not any(word in asked and asked - {word} <= more for word, more in _ASKED[method].items())
    ):
        # What IAM and S3 might take for two different requests is none.
        return "InvalidRequest", f"A {method} of an object cannot ask for {', '.join(sorted(asked))}.", 400
    if writes_object(method, query) and headers.get("if-none-match", "*").strip() != "*":
        return "NotImplemented", "A header you provided implies functionality that is not implemented", 501
    return None


def wrong_parts(s3: Any, body: bytes, query: Any) -> Refusal | None:
    """What is wrong with the parts that a CompleteMultipartUpload lists: their order, or one but the last under 5 MiB.

    "S3 API Reference", Error responses, EntityTooSmall and InvalidPartOrder. What else may be wrong is MiniStack's to say.
    """
    said = query.get("uploadId") or []
    upload = s3._multipart_uploads.get(said[0] if isinstance(said, list) and said else said) or {}
    listed = _listed(body)
    if listed is None or not upload:
        return None
    if any(later <= earlier for earlier, later in itertools.pairwise(listed)):
        return "InvalidPartOrder", "The list of parts was not in ascending order.", 400
    sizes = [upload.get("parts", {}).get(number, {}).get("size") for number in listed]
    if any(size is not None and size < _LEAST_PART for size in sizes[:-1]):
        return "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400
    return None


def deleted_keys(body: bytes) -> list[str]:
    """The keys that a DeleteObjects names."""
    try:
        root = importlib.import_module("defusedxml.ElementTree").fromstring(body)
    except (ElementTree.ParseError, ValueError):
        return []
    keys = [one for thing in root.iter() if _tag(thing) == "Object" for one in thing if _tag(one) == "Key"]
    return [key.text or "" for key in keys]


def _listed(body: bytes) -> list[int] | None:
    """The numbers of the parts in a CompleteMultipartUpload, in its order; None when it cannot be read."""
    try:
        root = importlib.import_module("defusedxml.ElementTree").fromstring(body)
        return [
            int(one.text or "")
            for part in root.iter()
            if _tag(part) == "Part"
            for one in part
            if _tag(one) == "PartNumber"
        ]
    except (ElementTree.ParseError, ValueError):
        return None


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _asked(query: Any) -> set[str]:
    """The names of a query without those of a signature or of headers that stand there."""
    return {name.lower() for name in query if not name.lower().startswith("x-")} - set(SIGNATURE)
