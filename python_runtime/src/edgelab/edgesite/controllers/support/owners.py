"""Which owner has to look again when one of its objects has changed."""

from __future__ import annotations

from edgelab.edgesite.controllers.support.adoption import selector_of
from edgelab.edgesite.controllers.support.view import View
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import controller_of, labels


def watch_owned(owned: View, owners: View, kind: str, queue: WorkQueue) -> None:
    """Queue the owner of a changed object, and of an orphan those that may adopt it."""

    def on_event(event_type: str, old: Obj | None, new: Obj) -> None:
        before = controller_of(old) if old is not None else None
        after = controller_of(new)
        for owner in (before, after):
            if owner is not None and owner["kind"] == kind:
                queue.add((new["metadata"]["namespace"], owner["name"]))
        if after is not None or event_type == DELETED:
            return
        if old is not None and before is None and labels(old) == labels(new):
            return
        for candidate in owners.in_namespace(new["metadata"]["namespace"]):
            if selector_of(candidate).matches(labels(new)):
                queue.add_object(candidate)

    owned.add_handler(on_event)
