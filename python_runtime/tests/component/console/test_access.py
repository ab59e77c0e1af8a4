"""What the console's account may do, and what of secrets gets through: nothing."""

from __future__ import annotations

import json
import urllib.request

from tests.component.console import things
from tests.component.console.lab import Lab

RESIDENT_MIB = 60.0


def test_its_account_reads_what_is_shown_and_nothing_else(lab: Lab) -> None:
    def may(verb: str, what: str, namespace: str = "default", *more: str) -> bool:
        words = ("auth", "can-i", verb, what, "-n", namespace, *more)
        return lab.kubectl(*words, config=lab.kubeconfig, check=False).startswith("yes")

    shown = ("nodes", "pods", "devices", "devicemodels", "devicestatuses")
    assert all(may(verb, what) for what in shown for verb in ("get", "list", "watch"))
    assert may("list", "leases.coordination.k8s.io", "kube-node-lease")
    assert not may("list", "leases.coordination.k8s.io", "kube-system")
    refused = ("secrets", "configmaps", "serviceaccounts", "services")
    assert [what for what in refused if may("get", what) or may("create", what)] == []
    assert may("get", "pods", "default", "--subresource=log")
    assert not may("create", "pods", "default", "--subresource=log")
    assert not may("create", "pods", "default", "--subresource=exec")
    assert [what for what in shown if may("update", what) or may("delete", what)] == []


def test_no_secret_of_a_pod_or_a_device_leaves_it(lab: Lab) -> None:
    lab.put(*things.node("edge1"), things.model(), *things.device("boiler", mode="eco"), things.pod("nginx"))
    text = ""
    with urllib.request.urlopen(f"{lab.url}api/events", timeout=60) as stream:
        while "default/nginx" not in text or "default/boiler" not in text:
            text += stream.readline().decode()
    assert "hunter2" not in text
    assert "eyJ" not in text, "no token"
    with urllib.request.urlopen(f"{lab.url}healthz", timeout=60) as answer:
        assert answer.read() == b"ok\n"


def test_it_stays_small_with_many_objects(lab: Lab) -> None:
    before = lab.memory()
    lab.put(*(things.pod(f"pod-{number}", on="") for number in range(300)))
    with urllib.request.urlopen(f"{lab.url}api/events", timeout=60) as stream:
        rows: dict[str, object] = {}
        while len(rows) < 300:
            line = stream.readline().decode()
            if line.startswith("data: {"):
                found = json.loads(line[6:]).get("rows") or {}
                changes = found["pods"] if isinstance(found, dict) else [key for _, key, _ in found]
                rows |= dict.fromkeys(key for key in changes if "pod-" in key)
    after = lab.memory()
    print(f"console: {before:.1f} MiB resident, {after:.1f} with 300 pods")
    assert after < RESIDENT_MIB
    lab.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false")
