#!/usr/bin/env python3
"""Add the layout of Kubernetes' internal types to `src/edgelab/data/apis/kubernetes.zip`.

kube-apiserver validates internal types, not the served ones, and quotes them in its answers ("Invalid
value: {...}", the diff of a pod that may not change). OpenAPI does not tell their fields' names and
order; the sources of Kubernetes do. Names of fields and their types are all that is kept.

Usage: build_layouts.py PATH_OF_k8s.io   (after build_apis.py and build_protobuf.py; the directory holds
`kubernetes`, `api` and `apimachinery`, as in GOPATH or in a vendor directory)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import apis_archive

MEMBER = "LAYOUTS"
GROUPS = (
    "core",
    "apps",
    "autoscaling",
    "batch",
    "flowcontrol",
    "networking",
    "policy",
    "rbac",
    "resource",
    "storage",
)
META = "apimachinery/pkg/apis/meta/v1/types.go"
ROOTS = (
    "apps.DaemonSetUpdateStrategy",
    "apps.DeploymentStrategy",
    "apps.StatefulSetUpdateStrategy",
    "batch.PodFailurePolicy",
    "batch.SuccessPolicy",
    "core.EphemeralContainer",
    "core.NodeAddress",
    "core.ObjectReference",
    "core.PersistentVolumeClaimSpec",
    "core.PersistentVolumeSpec",
    "core.HostIP",
    "core.PodIP",
    "core.PodResourceClaim",
    "core.PodTemplateSpec",
    "core.ScopeSelector",
    "core.ServicePort",
    "core.Taint",
    "core.Toleration",
    "core.VolumeNodeAffinity",
    "flowcontrol.FlowDistinguisherMethod",
    "flowcontrol.FlowSchemaSpec",
    "flowcontrol.PriorityLevelConfigurationSpec",
    "metav1.LabelSelector",
    "networking.ParentReference",
    "networking.ServiceCIDRSpec",
    "policy.PodDisruptionBudgetSpec",
    "rbac.RoleRef",
    "resource.DeviceAttribute",
    "resource.ResourceClaimSpec",
    "resource.ResourceClaimTemplateSpec",
    "storage.CSINodeDriver",
    "storage.VolumeAttachmentSpec",
)
SCALARS = {"string": "s", "bool": "b", "int": "i", "int32": "i", "int64": "i", "uint32": "i", "byte": "i"}
SPECIAL = {
    "resource.Quantity": "q",
    "intstr.IntOrString": "i",
    "metav1.Time": "t",
    "metav1.MicroTime": "t",
    "types.UID": "s",
    "metav1.FieldsV1": "t",
}
OF_PARENT = ("HostNetwork", "HostPID", "HostIPC", "ShareProcessNamespace", "HostUsers")
"""Fields of core.PodSecurityContext that v1 has in the PodSpec."""

Struct = list[tuple[str, str, str]]


def main() -> None:
    """Write the member anew."""
    root = Path(sys.argv[1])
    structs, names = read(root)
    table: dict[str, list[list[str]]] = {}
    todo = list(ROOTS)
    while todo:
        name = todo.pop()
        if name not in table:
            table[name] = [list(field) for field in layout(name, structs, names)]
            todo += [kind.lstrip("*[]{}") for _, _, kind, *_ in table[name] if "." in kind]
    size = apis_archive.put(MEMBER, table)
    print(f"{apis_archive.ARCHIVE.name}: {len(table)} layouts, {size} bytes")


def read(root: Path) -> tuple[dict[str, Struct], dict[str, str]]:
    """Structs by `group.Type`, and what other names stand for. Served types are in `v1:group.Type`."""
    structs: dict[str, Struct] = {}
    names: dict[str, str] = {}
    for group in GROUPS:
        parse(root / f"kubernetes/pkg/apis/{group}/types.go", group, "", structs, names)
        version = "v2" if group == "autoscaling" else "v1"
        parse(root / f"api/{group}/{version}/types.go", group, "v1:", structs, names)
    parse(root / META, "metav1", "", structs, names)
    return structs, names


def parse(path: Path, group: str, prefix: str, structs: dict[str, Struct], names: dict[str, str]) -> None:
    """One Go file of types."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    for name, body in re.findall(r"^type (\w+) struct \{(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        fields: Struct = []
        for line in filter(None, (part.strip() for part in body.splitlines())):
            tag = re.search(r'json:"([^"]*)"', line)
            words = re.sub(r"`.*|//.*", "", line).split()
            embedded = len(words) == 1
            kind = qualify(words[-1], group)
            own = words[0].rpartition(".")[2] if embedded else words[0]
            fields.append(("" if embedded else own, kind, tag[1] if tag else ""))
        structs[f"{prefix}{group}.{name}"] = fields
    for name, kind in re.findall(r"^type (\w+) ((?:\*|\[\]|map\[\w+\])?[\w.]+)$", text, re.MULTILINE):
        if kind != "struct":
            names[f"{group}.{name}"] = qualify(kind, group)


def qualify(kind: str, group: str) -> str:
    """`[]Container` -> `[]core.Container`, `map[string]X` -> `{}core.X`."""
    kind = re.sub(r"map\[[\w.]+\]", "{}", kind)
    marks, name = re.match(r"([*\[\]{}]*)([\w.]+)", kind).groups()  # type: ignore[union-attr]
    package, dot, rest = name.rpartition(".")
    package = {"api": "core", "v1": "core"}.get(package, package)
    if not dot and name not in SCALARS:
        package, rest = group, name
    return f"{marks}{package}.{rest}" if package else f"{marks}{name}"


def layout(name: str, structs: dict[str, Struct], names: dict[str, str]) -> list[tuple[str, ...]]:
    """(name in JSON, name in v1, type[, omitempty]) of each field, embedded ones in line."""
    served = {field: tag for field, _, tag in structs.get("v1:" + name, ())}
    found: list[tuple[str, ...]] = []
    for field, kind, tag in structs[name]:
        if not field:
            if kind.endswith("metav1.TypeMeta"):
                continue
            found += layout(kind.lstrip("*"), structs, names)
            continue
        out, _, options = tag.partition(",")
        inner = served.get(field, "").partition(",")[0] or out or field[0].lower() + field[1:]
        if name == "core.PodSecurityContext" and field in OF_PARENT:
            inner = "^" + inner
        extra = ("omit",) if "omitempty" in options or "omitzero" in options else ()
        found.append((out or field, inner, resolve(kind, structs, names), *extra))
    return found


def resolve(kind: str, structs: dict[str, Struct], names: dict[str, str]) -> str:
    """Marks, then a scalar's letter, or the name of a struct."""
    marks, name = re.match(r"([*\[\]{}]*)(.*)", kind).groups()  # type: ignore[union-attr]
    while name in names and name not in SPECIAL:
        more, name = re.match(r"([*\[\]{}]*)(.*)", names[name]).groups()  # type: ignore[union-attr]
        marks += more
    if name in SPECIAL:
        return marks + SPECIAL[name]
    if name in structs:
        return marks + name
    return marks + SCALARS.get(name, "s")


if __name__ == "__main__":
    main()
