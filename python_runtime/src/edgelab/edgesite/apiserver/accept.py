"""What a client wants to be answered with: JSON, a Table, or only the metadata."""

from __future__ import annotations

from dataclasses import dataclass

from edgelab.objects.status import ApiError

JSON_TYPES = ("application/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`form` is empty, Table, PartialObjectMetadata, PartialObjectMetadataList or APIGroupDiscoveryList."""

    form: str = ""
    version: str = ""


PLAIN = Wanted()
FORMS = {
    "Table": ("v1",),
    "PartialObjectMetadata": ("v1",),
    "PartialObjectMetadataList": ("v1",),
    "APIGroupDiscoveryList": ("v2",),
}


def parse(header: str) -> Wanted:
    """The first acceptable form of an Accept header. Raises ApiError 406."""
    if not header:
        return PLAIN
    for part in header.split(","):
        media, *parameters = (item.strip() for item in part.split(";"))
        options = dict(item.split("=", 1) for item in parameters if "=" in item)
        if media not in JSON_TYPES:
            continue
        form, version = options.get("as", ""), options.get("v", "")
        if not form:
            return PLAIN
        if version in FORMS.get(form, ()):
            return Wanted(form, version)
    raise ApiError(406, "only the following media types are accepted: application/json")
