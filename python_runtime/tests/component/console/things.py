"""Nodes, pods and devices as a lab has them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

DEVICES = "devices.kubeedge.io/v1beta1"


def moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(name: str, *, ready: bool = True, address: str = "192.168.77.11") -> list[dict[str, Any]]:
    """A Node and its Lease."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "reason": "EdgeReady" if ready else "NodeStatusUnknown",
        "message": "edge is posting ready status" if ready else "Kubelet stopped posting node status.",
        "lastHeartbeatTime": moment(time.time()),
        "lastTransitionTime": moment(time.time()),
    }
    info = {
        "kubeletVersion": "v1.32.10-kubeedge-v1.23.1",
        "containerRuntimeVersion": "containerd://1.6.20",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "architecture": "amd64",
        "operatingSystem": "linux",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": "6.18",
        "kubeProxyVersion": "",
    }
    labels = {"node-role.kubernetes.io/edge": ""}
    lease = {
        "holderIdentity": name,
        "leaseDurationSeconds": 40,
        "renewTime": moment(time.time())[:-1] + ".000000Z",
    }
    return [
        {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {
                "conditions": [condition], "nodeInfo": info,
                "addresses": [{"type": "InternalIP", "address": address}],
            },
        },
        {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": lease,
        },
    ]  # fmt: skip


def pod(name: str, *, restarts: int = 0, waiting: str = "", on: str = "edge1") -> dict[str, Any]:
    """A Pod with one container and a secret in its environment, which must not reach a browser."""
    image = "edgelab.local/nginx:1.22"
    running = {"running": {"startedAt": moment(time.time())}}
    state = {"waiting": {"reason": waiting}} if waiting else running
    container = {
        "name": "web", "image": image, "imageID": "",
        "ready": not waiting, "restartCount": restarts, "state": state,
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": on,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {"name": "web", "image": image, "env": [{"name": "PASSWORD", "value": "hunter2"}]}
            ],
        },
        "status": {"phase": "Pending" if waiting else "Running", "containerStatuses": [container]},
    }


def model() -> dict[str, Any]:
    properties = [
        {"name": "temperature", "type": "FLOAT", "accessMode": "ReadWrite", "unit": "Celsius"},
        {"name": "pressure", "type": "FLOAT", "accessMode": "ReadOnly", "unit": "bar"},
        {"name": "mode", "type": "STRING", "accessMode": "ReadWrite"},
    ]
    metadata = {"name": "boiler", "namespace": "default"}
    return {
        "apiVersion": DEVICES, "kind": "DeviceModel", "metadata": metadata,
        "spec": {"protocol": "modbus", "properties": properties},
    }  # fmt: skip


def device(name: str, desired: str = "60", **reported: str) -> list[dict[str, Any]]:
    """A Device whose protocol holds a password, and its DeviceStatus."""
    metadata = {"name": name, "namespace": "default"}
    protocol = {"protocolName": "modbus", "configData": {"password": "hunter2"}}
    spec = {
        "nodeName": "edge1", "deviceModelRef": {"name": "boiler"}, "protocol": protocol,
        "properties": [{"name": "temperature", "desired": {"value": desired}}],
    }  # fmt: skip
    now = str(int(time.time() * 1000))
    twins = [
        {"propertyName": key, "reported": {"value": value, "metadata": {"timestamp": now, "type": "string"}}}
        for key, value in reported.items()
    ]
    status = {"state": "online", "lastOnlineTime": moment(time.time()), "twins": twins}
    return [
        {"apiVersion": DEVICES, "kind": "Device", "metadata": metadata, "spec": spec},
        {"apiVersion": DEVICES, "kind": "DeviceStatus", "metadata": metadata, "status": status},
    ]
