"""A schema of our own of the documents that role kubeadm writes: kinds, fields, types, what is required.

It is not Kubernetes' own code. It holds the fields of kubeadm.k8s.io/v1beta3 and v1beta4 that this role uses,
by the published reference (https://kubernetes.io/docs/reference/config-api/), and refuses every other one, so
that a slip of the template shows without a kubeadm. docs/reference/kubeadm.md has what a real one says.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
CIDR = {"type": "string", "pattern": r"^[0-9a-f.:]+/[0-9]+$"}
ARGUMENTS = {
    "kubeadm.k8s.io/v1beta3": {"type": "object", "additionalProperties": {"type": "string"}},
    "kubeadm.k8s.io/v1beta4": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": TEXT, "value": {"type": "string"}},
            "required": ["name", "value"],
            "additionalProperties": False,
        },
    },
}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def document(api: str, kind: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """A document of one kind."""
    head = {"apiVersion": {"const": api}, "kind": {"const": kind}}
    return closed(head | properties, "apiVersion", "kind", *required)


def schemas(api: str) -> dict[str, dict[str, Any]]:
    """A schema by kind, for one version of kubeadm's API."""
    arguments = ARGUMENTS[api]
    endpoint = closed({"advertiseAddress": TEXT, "bindPort": PORT}, "advertiseAddress", "bindPort")
    taint = closed({"key": TEXT, "value": {"type": "string"}, "effect": TEXT}, "key", "effect")
    registration = closed(
        {
            "name": {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
            "criSocket": {"type": "string", "pattern": "^unix:///"},
            "taints": {"type": "array", "items": taint},
            "kubeletExtraArgs": arguments,
            "ignorePreflightErrors": TEXTS,
            "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        },
        "name",
        "criSocket",
        "kubeletExtraArgs",
    )
    component = closed({"extraArgs": arguments})
    return {
        "InitConfiguration": document(
            api,
            "InitConfiguration",
            {"localAPIEndpoint": endpoint, "nodeRegistration": registration},
            "localAPIEndpoint",
            "nodeRegistration",
        ),
        "ClusterConfiguration": document(
            api,
            "ClusterConfiguration",
            {
                "clusterName": TEXT,
                "kubernetesVersion": {"type": "string", "pattern": r"^v1\.[0-9]+\.[0-9]+$"},
                "imageRepository": TEXT,
                "controlPlaneEndpoint": {"type": "string", "pattern": r":[0-9]+$"},
                "networking": closed(
                    {"podSubnet": CIDR, "serviceSubnet": CIDR, "dnsDomain": TEXT}, "podSubnet"
                ),
                "apiServer": closed({"certSANs": TEXTS, "extraArgs": arguments}, "certSANs"),
                "controllerManager": component,
                "scheduler": component,
                "etcd": closed(
                    {"local": closed({"dataDir": TEXT, "extraArgs": arguments}, "dataDir")}, "local"
                ),
            },
            "kubernetesVersion",
            "controlPlaneEndpoint",
            "networking",
            "apiServer",
        ),
        "JoinConfiguration": document(
            api,
            "JoinConfiguration",
            {
                "discovery": closed(
                    {
                        "file": closed({"kubeConfigPath": TEXT}, "kubeConfigPath"),
                        "tlsBootstrapToken": {"type": "string", "pattern": r"^[a-z0-9]{6}\.[a-z0-9]{16}$"},
                    },
                    "file",
                    "tlsBootstrapToken",
                ),
                "nodeRegistration": registration,
                "controlPlane": closed(
                    {
                        "localAPIEndpoint": endpoint,
                        "certificateKey": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    },
                    "localAPIEndpoint",
                    "certificateKey",
                ),
            },
            "discovery",
            "nodeRegistration",
        ),
        # Further fields are the user's own (kubeadm_kubelet_settings).
        "KubeletConfiguration": {
            "type": "object",
            "properties": {
                "apiVersion": {"const": "kubelet.config.k8s.io/v1beta1"},
                "cgroupDriver": {"enum": ["systemd", "cgroupfs"]},
                "failSwapOn": {"type": "boolean"},
            },
            "required": ["apiVersion", "kind", "cgroupDriver"],
        },
        "KubeProxyConfiguration": document(
            "kubeproxy.config.k8s.io/v1alpha1",
            "KubeProxyConfiguration",
            {"mode": {"enum": ["iptables", "ipvs", "nftables"]}, "clusterCIDR": CIDR},
            "mode",
            "clusterCIDR",
        ),
    }


def problems(documents: list[dict[str, Any]], api: str) -> list[str]:
    """What the schema does not accept, with the path of each field."""
    known = schemas(api)
    found = []
    for one in documents:
        kind = one.get("kind", "")
        if kind not in known:
            found.append(f"no document may be of kind {kind!r}")
            continue
        for error in Draft202012Validator(known[kind]).iter_errors(one):
            found.append(f"{kind}.{'.'.join(map(str, error.absolute_path))}: {error.message}")
    return found
