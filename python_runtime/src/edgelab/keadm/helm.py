"""Values of KubeEdge's Helm chart, as `keadm init --set` and `--profile` take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.keadm.report import Failure
from edgelab.settings.document import merge, read_yaml

OWN = ("apiVersion", "kind", "commonConfig", "featureGates", "kubeAPIConfig", "modules", "edgelab")
CHART_ONLY = {
    "cloudCore": "CloudCore runs as a unit of this host, not as a pod",
    "iptablesManager": "CloudCore's own iptables module does it",
    "controllerManager": "there is no separate controller manager",
    "admission": "CloudCore serves its webhooks itself",
    "csidriver": "there is no CSI driver",
    "mosquitto": "the broker is a package of the node",
    "appsv1": "",
}
NUMBERS = frozenset({"nodeLimit", "port", "streamPort", "tunnelPort"})
"""What the chart writes as text."""


def settings(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings among chart values, and a word on each value that has no meaning here."""
    found: dict[str, Any] = {}
    notes = []
    for key, value in values.items():
        if key in OWN:
            found = merge(found, {key: value})
        elif key == "cloudCore" and isinstance(value, dict):
            own = {name: item for name, item in value.items() if name in OWN}
            found = merge(found, own)
            notes += [
                f"cloudCore.{name} has no effect: {CHART_ONLY[key]}" for name in value if name not in own
            ]
        elif key == "iptablesManager" and isinstance(value, dict):
            own = {name: item for name, item in value.items() if name in ("enable", "mode")}
            found = merge(found, {"modules": {"iptablesManager": own}})
        elif key in CHART_ONLY:
            notes.append(f"{key} has no effect: {CHART_ONLY[key]}")
        else:
            raise Failure(
                f"--set {key}: is neither a setting of cloudcore.yaml (modules...) nor a value of the chart"
            )
    return dict(_numbers(found)), notes


def profile(text: str) -> tuple[dict[str, Any], list[str]]:
    """The values of `--profile`: `version=v1.x`, which has no effect, or a values file. Raises Failure."""
    if not text:
        return {}, []
    if text.startswith("version="):
        return {}, [f"--profile {text} has no effect: keadm sets up what it is installed with"]
    path = Path(text)
    if not path.is_file():
        raise Failure(f"--profile {text}: expected version=v1.x or a file with values")
    return settings(read_yaml(path.read_text(encoding="utf-8"), text))


def _numbers(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _numbers(item, name) for name, item in value.items()}
    return int(value) if key in NUMBERS and isinstance(value, str) and value.isdigit() else value
