"""Going back to an earlier revision by annotation, the old way that some tools still go.

Fact: pkg/controller/deployment/rollback.go. (`kubectl rollout undo` writes the template itself.)
"""

from __future__ import annotations

import copy

from edgelab.edgesite.controllers.deployment import revisions
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEPLOYMENTS

ROLLBACK_TO = "deprecated.deployment.rollback.to"


def target(deployment: Obj) -> int | None:
    """The revision that is asked for (0: the one before), if any is."""
    return revisions.number(deployment, ROLLBACK_TO)


async def roll_back(
    cluster: Cluster, events: Recorder, deployment: Obj, replica_sets: list[Obj], wanted: int
) -> None:
    """Put the template of a revision back, with its annotations; the wish is fulfilled or dropped."""
    name = deployment["metadata"]["name"]
    changed = copy.deepcopy(deployment)
    if not wanted:
        numbers = sorted(revisions.revision(item) for item in replica_sets)
        wanted = numbers[-2] if len(numbers) > 1 else 0
    found = next((item for item in replica_sets if revisions.revision(item) == wanted), None)
    if not wanted:
        await events.warning(
            deployment, "DeploymentRollbackRevisionNotFound", "Unable to find last revision."
        )
    elif found is None:
        text = "Unable to find the revision to rollback to."
        await events.warning(deployment, "DeploymentRollbackRevisionNotFound", text)
    elif revisions.same_template(found["spec"]["template"], deployment["spec"]["template"]):
        text = f'The rollback revision contains the same template as current deployment "{name}"'
        await events.warning(deployment, "DeploymentRollbackTemplateUnchanged", text)
        found = None
    if found is not None and wanted:
        template = copy.deepcopy(found["spec"]["template"])
        template["metadata"]["labels"].pop(revisions.HASH_LABEL, None)
        changed["spec"]["template"] = template
        changed["metadata"]["annotations"] = _annotations(deployment, found)
    changed["metadata"]["annotations"].pop(ROLLBACK_TO, None)
    await cluster.update(DEPLOYMENTS, changed)
    if found is not None and wanted:
        text = f'Rolled back deployment "{name}" to revision {wanted}'
        await events.normal(deployment, "DeploymentRollback", text)


def _annotations(deployment: Obj, replica_set: Obj) -> dict[str, str]:
    """What the Deployment had said then; the bookkeeping of now stays."""
    mine = deployment["metadata"].get("annotations") or {}
    theirs = replica_set["metadata"].get("annotations") or {}
    kept = {key: value for key, value in mine.items() if key in revisions.NOT_COPIED}
    return {**kept, **{key: value for key, value in theirs.items() if key not in revisions.NOT_COPIED}}
