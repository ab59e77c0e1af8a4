"""What a request asks for, in terms of authorization (`apiserver/pkg/endpoints/request/requestinfo.go`)."""

from __future__ import annotations

from collections.abc import Mapping

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.authorization import Attributes
from edgelab.edgesite.apiserver.request import VERBS, ResourcePath, verb_of

COLLECTIONS = ("list", "watch", "deletecollection")


def attributes(method: str, path: ResourcePath, query: Mapping[str, str]) -> Attributes:
    """The attributes of a request for a resource."""
    verb, name, selector = verb_of(method, path, query), path.name, ""
    if method not in VERBS:
        verb = ""
    elif verb in COLLECTIONS:
        selector = query.get("fieldSelector", "")
        if verb != "deletecollection" and not name and selector:
            name = _exact_name(selector)
    namespace = path.name if path.plural == "namespaces" and path.name else path.namespace
    return Attributes(verb, path.group, path.plural, path.subresource, namespace, name, "", selector)


def _exact_name(selector: str) -> str:
    """The name that a field selector asks for, if it asks for one."""
    for part in selector.split(","):
        field, equals, value = part.partition("=")
        if field == "metadata.name" and equals:
            name = value.removeprefix("=")
            return "" if names.path_segment(name) else name
    return ""
