"""Jobs on nodes: upgrade, pulling of images, change of configuration.

Facts: KubeEdge `staging/src/github.com/kubeedge/api/apis/operations`, `apis/fsm`, `pkg/nodetask`; the
older form: `common/types/types.go` (docs/reference/protocol.md).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from edgelab.protocol.content.codecs import OBJECT, Either, Struct


class ImagePrePullTemplate(msgspec.Struct, rename="camel"):
    """What is to be pulled, where, and how often it is tried."""

    images: list[str] | UnsetType | None = UNSET
    node_names: list[str] | UnsetType | None = UNSET
    label_selector: Raw | UnsetType = UNSET
    check_items: list[str] | UnsetType | None = UNSET
    failure_tolerate: str | UnsetType = UNSET
    concurrency: int | UnsetType = UNSET
    timeout_seconds: int | UnsetType | None = UNSET
    image_secrets: str | UnsetType = UNSET
    retry_times: int | UnsetType = UNSET


class ImagePrePullJob(msgspec.Struct, rename="camel"):
    """The spec of an ImagePrePullJob."""

    image_pre_pull_template: ImagePrePullTemplate


class NodeUpgradeJob(msgspec.Struct, rename="camel"):
    """The spec of a NodeUpgradeJob; `imageDigestGatter` is KubeEdge's spelling."""

    version: str | UnsetType = UNSET
    timeout_seconds: int | UnsetType | None = UNSET
    node_names: list[str] | UnsetType | None = UNSET
    label_selector: Raw | UnsetType = UNSET
    image: str | UnsetType = UNSET
    image_digest_gatter: Raw | UnsetType = UNSET
    concurrency: int | UnsetType = UNSET
    check_items: list[str] | UnsetType | None = UNSET
    failure_tolerate: str | UnsetType = UNSET
    require_confirmation: bool | UnsetType = UNSET


class ConfigUpdateJob(msgspec.Struct, rename="camel"):
    """The spec of a ConfigUpdateJob: fields of edgecore.yaml and their new values."""

    node_names: list[str] | UnsetType | None = UNSET
    label_selector: Raw | UnsetType = UNSET
    timeout_seconds: int | UnsetType | None = UNSET
    concurrency: int | UnsetType = UNSET
    update_fields: dict[str, str] | UnsetType | None = UNSET
    failure_tolerate: str | UnsetType = UNSET


class ActionStatus(msgspec.Struct, rename={"succeeded": "succ", "finish_time": "finishTime"}):
    """How one action of a job ended at a node; `extend` depends on the action."""

    action: str
    succeeded: bool
    finish_time: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    extend: str | UnsetType = UNSET


class UpgradeItem(msgspec.Struct, rename="pascal"):
    """What an upgrade of the older form brings."""

    upgrade_id: str | UnsetType = msgspec.field(name="UpgradeID", default=UNSET)
    history_id: str | UnsetType = msgspec.field(name="HistoryID", default=UNSET)
    version: str | UnsetType = UNSET
    upgrade_tool: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    image_digest: str | UnsetType = UNSET
    require_confirmation: bool | UnsetType = UNSET


class NodeTask(msgspec.Struct, rename="pascal"):
    """A job of the older form (v1alpha1); `item` is an UpgradeItem or what is to be pulled."""

    task_id: str = msgspec.field(name="TaskID")
    type: str
    state: str
    item: Any


class NodeTaskReport(msgspec.Struct, rename="pascal"):
    """How a job of the older form goes at a node."""

    node_name: str
    event: str
    action: str
    state: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    time: str | UnsetType = UNSET
    external_message: str | UnsetType = UNSET


JOBS = {
    "imageprepulljob": Struct(ImagePrePullJob),
    "nodeupgradejob": Struct(NodeUpgradeJob),
    "configupdatejob": Struct(ConfigUpdateJob),
}
ACTION_STATUS = Struct(ActionStatus)
NODE_TASK = Either(Struct(NodeTask), Struct(UpgradeItem))
"""Edges before 1.16 get the upgrade alone."""
NODE_TASK_REPORT = Either(Struct(NodeTaskReport), OBJECT)
