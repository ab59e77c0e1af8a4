"""Names and labels that pods have in Docker, as dockershim gave them (`dockershim/naming.go`, `labels.go`).

    k8s_POD_<pod>_<namespace>_<uid>_<attempt>            a sandbox
    k8s_<container>_<pod>_<namespace>_<uid>_<attempt>    a container

None of the parts can hold an underscore. Docker has labels only: annotations are labels with a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SANDBOX_NAME = "POD"
ANNOTATION = "annotation."
TYPE = "io.kubernetes.docker.type"
SANDBOX, CONTAINER = "podsandbox", "container"
SANDBOX_ID = "io.kubernetes.sandbox.id"
LOG_PATH = "io.kubernetes.container.logpath"
OWN = (TYPE, SANDBOX_ID, LOG_PATH)


class Name(NamedTuple):
    """The parts of a name; `container` is POD for a sandbox."""

    container: str
    pod: str
    namespace: str
    uid: str
    attempt: int

    def __str__(self) -> str:
        return "_".join(("k8s", self.container, self.pod, self.namespace, self.uid, str(self.attempt)))


def parse(text: str) -> Name | None:
    """Read a name (Docker shows a slash before it); None for a container that no kubelet made."""
    parts = text.removeprefix("/").split("_")
    if len(parts) < 6 or parts[0] != "k8s" or not parts[5].isdecimal():
        return None
    return Name(parts[1], parts[2], parts[3], parts[4], int(parts[5]))


def labels(kind: str, own: Mapping[str, str], annotations: Mapping[str, str], **more: str) -> dict[str, str]:
    """Docker labels of a sandbox or container; `more` are `sandbox_id` and `log_path`."""
    result = {**own, **{ANNOTATION + key: value for key, value in annotations.items()}, TYPE: kind}
    for key, value in ((SANDBOX_ID, more.get("sandbox_id")), (LOG_PATH, more.get("log_path"))):
        if value:
            result[key] = value
    return result


def split(found: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(labels, annotations) of Docker labels."""
    annotations = {k.removeprefix(ANNOTATION): v for k, v in found.items() if k.startswith(ANNOTATION)}
    own = {k: v for k, v in found.items() if not k.startswith(ANNOTATION) and k not in OWN}
    return own, annotations
