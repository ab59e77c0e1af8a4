"""What kubeadm reads and writes: configuration documents, static pods, the kubelet's configuration."""

from __future__ import annotations

import ipaddress
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from standin import pki
from standin.api import write
from standin.kubelet import FORWARD, MANIFESTS
from standin.schema import problems

VERSIONS = ("kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3")
ETCD = "3.6.4-0"
ETCD_FILES = "--{}-file=/etc/kubernetes/pki/etcd/{}"


def read(path: str, *, complete: bool = True) -> dict[str, dict[str, Any]]:
    """The documents of a file by kind. Raises SystemExit for one that kubeadm would not take."""
    documents = list(yaml.safe_load_all(Path(path).read_text()))
    api = next((one["apiVersion"] for one in documents if one and "kubeadm" in one.get("apiVersion", "")), "")
    if api not in VERSIONS:
        raise SystemExit(f"error: {path}: no kind and apiVersion of kubeadm: {api!r}")
    found = problems([one or {} for one in documents], api) if complete else []
    if found:
        raise SystemExit(f"error: {path}: " + "; ".join(found))
    return {one["kind"]: one for one in documents}


def arguments(given: Any) -> dict[str, str]:
    """Extra arguments in the form of either version of the API."""
    return {one["name"]: one["value"] for one in given} if isinstance(given, list) else dict(given or {})


def images(version: str, repository: str = "registry.k8s.io") -> list[str]:
    """The images of a release, in kubeadm's order."""
    parts = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    others = ("coredns/coredns:v1.12.1", "pause:3.10.1", f"etcd:{ETCD}")
    return [f"{repository}/{part}:v{version}" for part in parts] + [f"{repository}/{one}" for one in others]


def pod(name: str, image: str, words: list[str], annotations: dict[str, str]) -> None:
    """One static pod's manifest."""
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"component": name, "tier": "control-plane"},
            "annotations": annotations,
        },
        "spec": {
            "containers": [
                {"command": [name, *words], "image": image, "imagePullPolicy": "IfNotPresent", "name": name}
            ],
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
        },
    }
    write(str(MANIFESTS / f"{name}.yaml"), yaml.safe_dump(document))


def control_plane(cluster: dict[str, Any], endpoint: dict[str, Any], forward: str = "") -> None:
    """The static pods of a control plane; `forward` names the API server that a further one leads to."""
    address, port = endpoint["advertiseAddress"], endpoint["bindPort"]
    repository, version = cluster["imageRepository"], cluster["kubernetesVersion"]
    sans = [name for name in cluster["apiServer"]["certSANs"] if is_address(name)]
    annotations = {"edgelab.stand-in/addresses": ",".join(dict.fromkeys([address, *sans]))}
    if forward:
        annotations[FORWARD] = forward
    extra = arguments(cluster["apiServer"].get("extraArgs"))
    words = [
        f"--advertise-address={address}",
        f"--secure-port={port}",
        "--etcd-servers=https://127.0.0.1:2379",
    ]
    words += [f"--{name}={value}" for name, value in extra.items()]
    pod("kube-apiserver", f"{repository}/kube-apiserver:{version}", words, annotations)
    files = [ETCD_FILES.format(name, f"server.{end}") for name, end in (("cert", "crt"), ("key", "key"))]
    etcd = [f"--data-dir={cluster['etcd']['local']['dataDir']}", *files]
    etcd.append(f"--initial-advertise-peer-urls=https://{address}:2380")
    pod("etcd", f"{repository}/etcd:{ETCD}", etcd, {})
    for name in ("kube-controller-manager", "kube-scheduler"):
        pod(name, f"{repository}/{name}:{version}", [f"--kubeconfig=/etc/kubernetes/{name[5:]}.conf"], {})
    Path(cluster["etcd"]["local"]["dataDir"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def renew(version: str) -> None:
    """Static pods of another release: what `kubeadm upgrade` does to them."""
    for path in MANIFESTS.glob("kube-*.yaml"):
        text = path.read_text()
        write(str(path), re.sub(r"(image: \S+/kube-[a-z-]+):v1[0-9.]+", rf"\1:v{version}", text))


def kubelet(configuration: dict[str, Any], registration: dict[str, Any]) -> None:
    """The kubelet's configuration and the arguments that kubeadm gives it."""
    write("/var/lib/kubelet/config.yaml", yaml.safe_dump(configuration), 0o644)
    words = {
        "container-runtime-endpoint": registration["criSocket"],
        "hostname-override": registration["name"],
    }
    words |= arguments(registration["kubeletExtraArgs"])
    text = " ".join(f"--{name}={value}" for name, value in words.items())
    write("/var/lib/kubelet/kubeadm-flags.env", f'KUBELET_KUBEADM_ARGS="{text}"\n', 0o644)


def refuse_second_run() -> None:
    """kubeadm's own preflight."""
    there = [str(path) for path in MANIFESTS.glob("*.yaml") if path.name != "kube-vip.yaml"]
    there += [path for path in ("/etc/kubernetes/kubelet.conf", f"{pki.PKI}/ca.crt") if Path(path).exists()]
    if Path("/var/lib/etcd/member").exists():
        there.append("/var/lib/etcd is not empty")
    if there:
        print("[preflight] Some fatal errors occurred:\n" + "\n".join(there), file=sys.stderr)
        raise SystemExit(1)
