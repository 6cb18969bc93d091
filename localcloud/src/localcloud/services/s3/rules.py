"""What S3 refuses without looking at its objects: unknown conditions, long keys, uploads of wrong parts.

What a request may do is authorized in services.iam.
"""

import importlib
import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

from localcloud.ministack import objects

SIGNATURE = ("awsaccesskeyid", "signature", "expires")
_LEAST_PART = 5 << 20
_LONGEST_KEY = 1024
# Subresources that a PUT or POST of an object may name, and the query parameters that each may have.
_SUBRESOURCES: dict[str, dict[str, set[str]]] = {
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
    """Return whether a request is PutObject, CopyObject or CompleteMultipartUpload, by its method and query."""
    names = _query_names(query)
    if method == "POST":
        return names == {"uploadid"}
    return method == "PUT" and not names


def refusal(method: str, path: str, headers: Any, query: Any) -> Refusal | None:
    """Return (code, message, status) if S3 refuses the request without looking at its objects, else None.

    "S3 API Reference", PutObject, If-None-Match ("Expects the '*' (asterisk) character"); Error responses, NotImplemented
    and KeyTooLongError; "S3 User Guide", Naming Amazon S3 objects (1,024 bytes of UTF-8).
    """
    _, _, key = path.lstrip("/").partition("/")
    if len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY:
        return "KeyTooLongError", "Your key is too long", 400
    if not key or method not in _SUBRESOURCES:
        return None
    names = _query_names(query)
    if names and not _is_one_request(method, names):
        # IAM and S3 could take such a query for two different requests.
        return "InvalidRequest", f"A {method} of an object cannot have the query {', '.join(sorted(names))}.", 400
    if writes_object(method, query) and headers.get("if-none-match", "*").strip() != "*":
        return "NotImplemented", "A header you provided implies functionality that is not implemented", 501
    return None


def _is_one_request(method: str, names: set[str]) -> bool:
    """Return whether the names in a query belong to exactly one request that S3 has."""
    if method == "PUT" and names == {"partnumber", "uploadid"}:
        return True
    return any(word in names and names - {word} <= more for word, more in _SUBRESOURCES[method].items())


def wrong_parts(body: bytes, query: Any) -> Refusal | None:
    """Return what is wrong with the parts of a CompleteMultipartUpload: the order, or a part below 5 MiB that is not the last.

    "S3 API Reference", Error responses, EntityTooSmall and InvalidPartOrder. MiniStack finds what else may be wrong.
    """
    upload = objects.uploads().get(first(query.get("uploadId")))
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
    """Return the keys that a DeleteObjects names."""
    try:
        return [key.text or "" for key in _children(body, "Object", "Key")]
    except (ElementTree.ParseError, ValueError):
        return []


def first(value: Any) -> str:
    """Return the first value of a query's parameter; "" when it has none."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return value or ""


def _listed(body: bytes) -> list[int] | None:
    """Return the numbers of the parts in a CompleteMultipartUpload, in its order; None when it cannot be read."""
    try:
        return [int(number.text or "") for number in _children(body, "Part", "PartNumber")]
    except (ElementTree.ParseError, ValueError):
        return None


def _children(body: bytes, parent: str, child: str) -> Iterator[ElementTree.Element]:
    """Return the elements `child` directly below elements `parent`. Raises ParseError, and ValueError for unsafe XML."""
    # Imported here: it belongs to MiniStack's requirements and is needed only for such a body.
    root = importlib.import_module("defusedxml.ElementTree").fromstring(body)
    for element in root.iter():
        if _tag(element) == parent:
            yield from (below for below in element if _tag(below) == child)


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _query_names(query: Any) -> set[str]:
    """Return the names of a query, without those of a signature or of headers that a link carries there."""
    return {name.lower() for name in query if not name.lower().startswith("x-")} - set(SIGNATURE)
