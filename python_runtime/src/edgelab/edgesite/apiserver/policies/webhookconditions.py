"""The conditions of webhooks (`matchConditions`), which see no parameters and no variables."""

from __future__ import annotations

import functools
from typing import Any

from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.authorization import Authorizer, refused
from edgelab.edgesite.apiserver.cel.expressions import Expression, compiled
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.policies.access import authorizers
from edgelab.edgesite.apiserver.policies.evaluating import CONDITIONS_BUDGET, Run, unmet
from edgelab.edgesite.apiserver.policies.variables import declared

Obj = dict[str, Any]


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Expression:
    return compiled(source, declared(params=False), ("bool",))


def hold(hook: Obj, operation: Operation, kind: Kind, new: Obj | None, authorizer: Authorizer) -> bool:
    """Whether a webhook is to be called. Raises ApiError 403 for conditions that cannot be evaluated."""
    names = {
        "object": operation.shown(new, kind),
        "oldObject": operation.shown(operation.old, kind),
        "request": operation.request(kind),
        "namespaceObject": None,
        **authorizers(authorizer, operation),
    }
    conditions = [_compiled(item["expression"]) for item in hook["matchConditions"]]
    failed = unmet(conditions, Run(names, CONDITIONS_BUDGET))
    if failed is not None and failed.error and hook.get("failurePolicy") != "Ignore":
        raise refused(operation.kind.group, operation.kind.plural, operation.name, failed.error)
    return failed is None
