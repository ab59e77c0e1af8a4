"""The kubelet's stand-in: a node that is registered and kept ready, static pods as units, rules of a proxy.

Static pods are no containers here. etcd and kube-apiserver together are EdgeSite with its data below etcd's
directory; on further control planes the API server is a way to the first one's. kube-controller-manager signs
certificate requests, kube-vip's pod puts its address on the interface.
"""

from __future__ import annotations

import base64
import json
import shlex
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from standin import pki
from standin.api import STRATEGIC, Api, Refused

MANIFESTS = Path("/etc/kubernetes/manifests")
FORWARD = "edgelab.stand-in/forward-to"
DATA = Path("/var/lib/etcd/member")
EDGESITE = "/opt/edgelab/current/bin/edgesite"
STATIC = "standin-static-"
NETWORK = Path("/etc/cni/net.d")


def run(*words: str) -> str:
    """What a command prints; empty when it fails."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def manifest(name: str) -> dict[str, Any]:
    """A static pod's document; empty when it is not there."""
    try:
        return yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text()) or {}
    except OSError:
        return {}


def flag(document: dict[str, Any], name: str) -> str:
    """An argument of a static pod's command."""
    words = document["spec"]["containers"][0]["command"]
    return next((word.split("=", 1)[1] for word in words if word.startswith(f"--{name}=")), "")


def is_running(name: str) -> bool:
    """Whether a static pod's unit runs."""
    return subprocess.run(["systemctl", "is-active", "-q", STATIC + name], check=False).returncode == 0


def start(name: str, *words: str) -> None:
    """A static pod's process, which outlives the kubelet as a container does."""
    run("systemd-run", "--collect", f"--unit={STATIC}{name}", *words)


def static_pods() -> None:
    """Start what has a manifest, stop what has none."""
    api, etcd = manifest("kube-apiserver"), manifest("etcd")
    if api and etcd and not is_running("kube-apiserver"):
        forward = api["metadata"].get("annotations", {}).get(FORWARD, "")
        port = flag(api, "secure-port")
        if forward:
            start("kube-apiserver", "socat", f"TCP-LISTEN:{port},fork,reuseaddr", f"TCP:{forward}")
        else:
            serve(api, port)
    if not (api and etcd) and is_running("kube-apiserver"):
        run("systemctl", "stop", STATIC + "kube-apiserver")
    if manifest("kube-vip"):
        take_address()


def serve(api: dict[str, Any], port: str) -> None:
    """EdgeSite with the cluster's own keys."""
    tls = DATA / "tls"
    tls.mkdir(mode=0o700, parents=True, exist_ok=True)
    for source, target in (("ca.crt", "ca.crt"), ("ca.key", "ca.key"), ("sa.key", "service-account.key")):
        (tls / target).write_bytes(Path(pki.PKI, source).read_bytes())
    addresses = api["metadata"]["annotations"]["edgelab.stand-in/addresses"].split(",")
    words = [EDGESITE, "server", "--data-dir", str(DATA), "--listen", f"0.0.0.0:{port}"]
    start("kube-apiserver", *words, *(word for one in addresses for word in ("--advertise-address", one)))


def take_address() -> None:
    """What kube-vip's leader does; here the leader is the host with the API server itself."""
    api = manifest("kube-apiserver")
    if not api or FORWARD in api["metadata"].get("annotations", {}):
        return
    named = {
        one["name"]: one.get("value", "") for one in manifest("kube-vip")["spec"]["containers"][0]["env"]
    }
    run(
        "ip", "address", "replace", f"{named['address']}/{named['vip_subnet']}", "dev", named["vip_interface"]
    )


def sign_requests(api: Api) -> None:
    """kube-controller-manager: approve and sign what nodes ask for with a bootstrap token."""
    requests = api.ask("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests")["items"]
    for one in requests:
        if one["status"].get("certificate") or not one["spec"]["username"].startswith("system:bootstrap:"):
            continue
        path = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{one['metadata']['name']}"
        one["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved"}]}
        approved = api.ask("PUT", f"{path}/approval", one)
        certificate = pki.sign(base64.b64decode(one["spec"]["request"]))
        approved["status"]["certificate"] = base64.b64encode(certificate).decode()
        api.ask("PUT", f"{path}/status", approved)


def node(name: str, version: str, address: str, socket_path: str) -> dict[str, Any]:
    """The node as this kubelet reports it: ready as soon as there is a pod network."""
    network = NETWORK.is_dir() and any(NETWORK.iterdir())
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {
        "type": "Ready",
        "status": "True" if network else "False",
        "reason": "KubeletReady" if network else "KubeletNotReady",
        "message": "" if network else "container runtime network not ready: cni plugin not initialized",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": socket_path},
        },
        "status": {
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "capacity": {"cpu": "2", "memory": "2Gi", "pods": "110"},
            "allocatable": {"cpu": "2", "memory": "2Gi", "pods": "110"},
            "nodeInfo": {
                "kubeletVersion": f"v{version}",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def report(api: Api, present: dict[str, Any]) -> None:
    """Register the node or tell its state."""
    name = present["metadata"]["name"]
    try:
        api.ask("GET", f"/api/v1/nodes/{name}")
    except Refused as error:
        if error.code != 404:
            raise
        api.ask("POST", "/api/v1/nodes", present)
    api.ask("PATCH", f"/api/v1/nodes/{name}/status", {"status": present["status"]}, STRATEGIC)


def run_pods(api: Api, name: str) -> None:
    """Pods of this node run without containers, and end when they are told to."""
    for pod in api.ask("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{name}")["items"]:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if meta.get("deletionTimestamp"):
            api.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        elif pod["status"].get("phase") != "Running":
            conditions = [{"type": "Ready", "status": "True"}]
            body = {"status": {"phase": "Running", "conditions": conditions}}
            api.ask("PATCH", f"{path}/status", body, STRATEGIC)


def proxy() -> None:
    """Chains and rules as kube-proxy and a network plugin leave them on a node."""
    for chain in ("KUBE-SERVICES", "KUBE-POSTROUTING", "CNI-HOSTPORT-DNAT"):
        run("iptables", "-w", "-t", "nat", "-N", chain)
    rules = [
        ("PREROUTING", "-m", "comment", "--comment", "kubernetes service portals", "-j", "KUBE-SERVICES"),
        (
            "POSTROUTING",
            "-m",
            "comment",
            "--comment",
            "kubernetes postrouting rules",
            "-j",
            "KUBE-POSTROUTING",
        ),
        ("PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "CNI-HOSTPORT-DNAT"),
        ("KUBE-POSTROUTING", "-m", "mark", "--mark", "0x4000/0x4000", "-j", "MASQUERADE"),
    ]
    for chain, *rule in rules:
        table = ("iptables", "-w", "-t", "nat")
        if subprocess.run([*table, "-C", chain, *rule], capture_output=True, check=False).returncode:
            run(*table, "-A", chain, *rule)


def main(version: str) -> int:
    """The kubelet. Ends like the real one while kubeadm has not written its configuration."""
    if "--version" in sys.argv:
        print(f"Kubernetes v{version}")
        return 0
    words = {word.partition("=")[0]: word.partition("=")[2] for word in sys.argv[1:]}
    configuration = words.get("--config", "/var/lib/kubelet/config.yaml")
    try:
        driver = yaml.safe_load(Path(configuration).read_text())["cgroupDriver"]
    except OSError as error:
        print(f"failed to load kubelet config file {configuration}: {error}", file=sys.stderr)
        return 1
    name = words.get("--hostname-override") or socket.gethostname()
    print(
        f"stand-in kubelet v{version} of {name}, cgroup driver {driver}: {shlex.join(sys.argv)}", flush=True
    )
    while True:
        try:
            static_pods()
            if Path(words["--kubeconfig"]).exists():
                api = Api.of(words["--kubeconfig"])
                socket_path = words["--container-runtime-endpoint"]
                report(api, node(name, version, words["--node-ip"], socket_path))
                run_pods(api, name)
                proxy()
            if manifest("kube-controller-manager") and Path("/etc/kubernetes/super-admin.conf").exists():
                sign_requests(Api.of("/etc/kubernetes/super-admin.conf"))
        except (Refused, OSError, json.JSONDecodeError) as error:
            print(f"stand-in kubelet: {error}", file=sys.stderr, flush=True)
        time.sleep(1)
