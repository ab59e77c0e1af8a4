#!/usr/bin/env python3
"""Write `src/edgelab/data/rbac/policy.jsonl`: the roles and bindings that a new cluster begins with.

Source: what a kube-apiserver with no roles but its own answers to
`kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o json`. One object a line, without
what all of them share, and without the rules that aggregated roles get from others.

Usage: build_policy.py LIST.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parents[1] / "src/edgelab/data/rbac/policy.jsonl"
BOOTSTRAPPING = "kubernetes.io/bootstrapping"
ORDER = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def compact(obj: dict[str, Any]) -> dict[str, Any]:
    """What one object has that others have not."""
    metadata = obj["metadata"]
    found: dict[str, Any] = {"kind": obj["kind"], "name": metadata["name"]}
    if metadata.get("namespace"):
        found["namespace"] = metadata["namespace"]
    labels = {key: value for key, value in metadata["labels"].items() if key != BOOTSTRAPPING}
    if labels:
        found["labels"] = labels
    if "aggregationRule" in obj:
        found["aggregationRule"] = obj["aggregationRule"]
    elif "roleRef" not in obj:
        found["rules"] = [dict(sorted(rule.items())) for rule in obj.get("rules") or ()]
    for key in ("roleRef", "subjects"):
        if key in obj:
            found[key] = obj[key]
    return found


def main() -> None:
    """Write the file and say what is in it."""
    items = json.loads(Path(sys.argv[1]).read_text())["items"]
    items = [item for item in items if BOOTSTRAPPING in (item["metadata"].get("labels") or {})]
    items.sort(
        key=lambda item: (
            ORDER.index(item["kind"]),
            item["metadata"].get("namespace", ""),
            item["metadata"]["name"],
        )
    )
    lines = [json.dumps(compact(item), separators=(",", ":")) for item in items]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("\n".join(lines) + "\n")
    print(f"{OUTPUT}: {len(lines)} objects, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
