"""Counting requests, under kube-apiserver's names (`apiserver/pkg/endpoints/metrics`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from edgelab.edgesite.apiserver.kinds import Kinds
from edgelab.edgesite.apiserver.request import RELAYED, ResourcePath, verb_of
from edgelab.edgesite.operation.prometheus import Page
from edgelab.edgesite.operation.wire import LOG
from edgelab.edgesite.store.stats import Histogram
from edgelab.kube.interface import PatchType

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "APPLY"})
WATCH = "WATCH"
LASTING = (WATCH, "CONNECT")
"""What is no matter of seconds: watches, what goes on to kubelets, and the log for followers."""
KNOWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": WATCH,
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "apply": "APPLY",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
    "connect": "CONNECT",
}


class What(NamedTuple):
    """Labels of a request. All come from what is served, so that nobody can make up new ones."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""

    def labels(self) -> dict[str, str]:
        """As kube-apiserver gives them."""
        return {"component": "apiserver", **self._asdict()}


class Requests:
    """Cheap on the way of every request: two additions and a search among twelve bounds."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[What, int]] = Counter()
        self._seconds: defaultdict[What, Histogram] = defaultdict(lambda: Histogram(BUCKETS))
        self._watches: Counter[What] = Counter()
        self._inflight = {"mutating": 0, "readOnly": 0}

    @property
    def writing(self) -> bool:
        """Whether a request that may write is under way."""
        return self._inflight["mutating"] > 0

    def begin(self, what: What) -> None:
        """A request is being served."""
        if what.verb in LASTING:
            self._watches[what] += 1
        else:
            self._inflight["mutating" if what.verb in MUTATING else "readOnly"] += 1

    def end(self, what: What, code: int, seconds: float) -> None:
        """It has been answered; code 0 when nobody waited for the answer any more."""
        self._counts[what, code] += 1
        if what.verb in LASTING:
            self._watches[what] -= 1
            return
        self._inflight["mutating" if what.verb in MUTATING else "readOnly"] -= 1
        self._seconds[what].observe(seconds)

    def write(self, page: Page) -> None:
        """The numbers."""
        page.family(
            "apiserver_request_total",
            "counter",
            "Requests answered, by verb, resource and code; code 0 is a client that went away.",
            (({**what.labels(), "code": str(code)}, n) for (what, code), n in self._counts.items()),
        )
        page.histograms(
            "apiserver_request_duration_seconds",
            "Seconds from a request's head to its answer, without watches.",
            ((what.labels(), histogram) for what, histogram in self._seconds.items()),
        )
        page.family(
            "apiserver_longrunning_requests",
            "gauge",
            "Watches that are open, requests that were passed on, and followers.",
            ((what.labels(), count) for what, count in self._watches.items()),
        )
        page.family(
            "apiserver_current_inflight_requests",
            "gauge",
            "Requests under way that are no watches.",
            (({"request_kind": kind}, count) for kind, count in self._inflight.items()),
        )


def describe(
    method: str, path: str, found: ResourcePath | None, query: Mapping[str, str], *, media: str, kinds: Kinds
) -> What:
    """The labels of a request; all empty but the verb for what is no known resource. `found` is what
    `parse_path` makes of the path.
    """
    if path == LOG:
        return What("CONNECT")
    kind = kinds.find(found.group, found.version, found.plural) if found is not None else None
    if found is None or kind is None:
        return What(method if method in KNOWN else "OTHER")
    verb = verb_of(method, found, query)
    if verb == "patch" and media == str(PatchType.APPLY):
        verb = "apply"
    if found.subresource in RELAYED and found.subresource in kind.subresources:
        verb = "connect"
    subresource = found.subresource if found.subresource in kind.subresources else ""
    scope = "resource" if found.name or verb == "create" else "namespace" if found.namespace else "cluster"
    return What(VERBS.get(verb, "OTHER"), found.group, found.version, found.plural, subresource, scope)
