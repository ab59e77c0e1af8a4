"""What a client wants to be answered with: JSON or YAML, and as an object, a Table or only its metadata.

kube-apiserver looks twice: its router at the media types as they are written, then `negotiation` at
types, patterns and parameters in the order of their quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.protobuf import MEDIA_TYPE
from edgelab.objects.status import ApiError

JSON, YAML = "application/json", "application/yaml"
BUILTIN = (JSON, YAML, MEDIA_TYPE)
STREAMS = (f"{JSON};stream=watch", f"{MEDIA_TYPE};stream=watch")
META = "meta.k8s.io"
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`form` is empty or one of FORMS (of a `version` of meta.k8s.io), or APIGroupDiscoveryList."""

    form: str = ""
    version: str = ""
    yaml: bool = False


class _Clause(NamedTuple):
    media: str
    quality: float
    options: dict[str, str]


PLAIN = Wanted()


def route(header: str, produces: tuple[str, ...] = BUILTIN) -> None:
    """What the router checks: a media type as it stands there, or any. Raises ApiError 406."""
    offered = [part.partition(";")[0].strip() for part in (header or "*/*").split(",")]
    if not any(media == "*/*" or media in produces for media in offered):
        text = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(produces)
        raise ApiError(406, text, details={})


def negotiate(header: str, accepted: tuple[str, ...] = BUILTIN, forms: tuple[str, ...] = FORMS) -> Wanted:
    """The best form that can be served. Raises ApiError 406."""
    if not header or header == JSON:
        return PLAIN
    for clause in _clauses(header):
        for media in accepted:
            if media != MEDIA_TYPE and _fits(clause.media, media):
                wanted = _form(clause.options, forms)
                if wanted is not None:
                    return Wanted(*wanted, yaml=media == YAML)
    raise ApiError(406, f"only the following media types are accepted: {', '.join(accepted)}")


def relayed(header: str, *, log: bool) -> Wanted:
    """Of a request that goes on to another server: a log is text, whatever else is not ours to judge.
    Raises ApiError 406.
    """
    if log:
        route(header, ("text/plain", *BUILTIN))
        return negotiate(header, forms=())
    try:
        return negotiate(header)
    except ApiError:
        return PLAIN


def _clauses(header: str) -> list[_Clause]:
    found = []
    for part in header.split(","):
        media, *parameters = (item.strip() for item in part.split(";"))
        options = dict(item.split("=", 1) for item in parameters if "=" in item)
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append(_Clause(media, quality, options))
    return sorted(found, key=lambda clause: (-clause.quality, clause.media.count("*")))


def _fits(pattern: str, media: str) -> bool:
    outer, _, inner = pattern.partition("/")
    kind, _, subtype = media.partition("/")
    return outer in (kind, "*") and inner in (subtype, "*")


def _form(options: dict[str, str], forms: tuple[str, ...]) -> tuple[str, str] | None:
    """(form, version) of the parameters; None when they ask for what cannot be served."""
    form, group, version = (options.get(name, "") for name in ("as", "g", "v"))
    if not form:
        return "", ""
    if form in FORMS:
        fits = form in forms and group == META and version in VERSIONS
    else:
        fits = form in forms and group == "apidiscovery.k8s.io" and version in ("v2", "v2beta1")
    return (form, version) if fits else None


def check_one(wanted: Wanted, kind: Kind) -> None:
    """An object is no list. Raises ApiError 406."""
    if wanted.form == "PartialObjectMetadataList":
        name = _go_name(kind, "")
        text = f"you requested PartialObjectMetadataList, but the requested object is not a list ({name})"
        raise ApiError(406, text)


def check_many(wanted: Wanted, kind: Kind) -> None:
    """A list is no object. Raises ApiError 406."""
    if wanted.form == "PartialObjectMetadata":
        name = _go_name(kind, "List")
        text = f"you requested PartialObjectMetadata, but the requested object is a list ({name})"
        raise ApiError(406, text)


def _go_name(kind: Kind, suffix: str) -> str:
    if kind.custom is not None:
        return f"*unstructured.Unstructured{suffix}"
    return f"*{kind.group.partition('.')[0] or 'core'}.{kind.name}{suffix}"
