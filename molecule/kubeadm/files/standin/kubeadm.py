"""kubeadm's stand-in: the subcommands that role kubeadm runs."""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from standin import documents, pki
from standin.api import STRATEGIC, Api, Refused, kubeconfig, wait, write

ADMIN = "/etc/kubernetes/admin.conf"
SUPER = "/etc/kubernetes/super-admin.conf"
SYSTEM = "/api/v1/namespaces/kube-system"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKEN_GROUP = "system:bootstrappers:kubeadm:default-node-token"
ROLE = "node-role.kubernetes.io/control-plane"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def metadata(name: str) -> dict[str, str]:
    """Of an object in kube-system."""
    return {"name": name, "namespace": "kube-system"}


def write_kubeconfig(path: str, server: str, user: str, group: str) -> None:
    """A kubeconfig with a certificate that this host signs itself."""
    certificate, key = pki.client(f"/O={group}/CN={user}")
    parts = {"certificate": certificate, "key": key}
    identity = {f"client-{name}-data": base64.b64encode(part).decode() for name, part in parts.items()}
    write(path, kubeconfig(server, Path(f"{pki.PKI}/ca.crt").read_bytes(), user, identity))


def write_kubelet_conf(server: str, ca: bytes, name: str, certificate: bytes, key: bytes) -> None:
    """The kubelet's kubeconfig, with the certificate where the kubelet renews it."""
    path = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    write(path, certificate + key)
    identity = {"client-certificate": path, "client-key": path}
    write("/etc/kubernetes/kubelet.conf", kubeconfig(server, ca, f"system:node:{name}", identity))


def start_kubelet() -> None:
    """Phase kubelet-start."""
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "restart", "kubelet.service"], check=True)


def grant(api: Api, name: str, resource: str, objects: list[str]) -> None:
    """Let joining hosts read objects of kube-system."""
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": [resource], "resourceNames": objects, "verbs": ["get"]}]
    api.put(
        f"{RBAC}/namespaces/kube-system/roles",
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata(name), "rules": rules},
    )
    api.put(
        f"{RBAC}/namespaces/kube-system/rolebindings",
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(name),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": TOKEN_GROUP}],
        },
    )


def store(api: Api, name: str, data: dict[str, str]) -> None:
    """A ConfigMap of kube-system."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": data}
    api.put(f"{SYSTEM}/configmaps", document)


def mark(api: Api, registration: dict[str, Any]) -> None:
    """Phase mark-control-plane, and the taints that were asked for."""
    path = f"/api/v1/nodes/{registration['name']}"
    wait("the node", lambda: api.ask("GET", path))
    taints = registration.get("taints", [{"key": ROLE, "effect": "NoSchedule"}])
    body = {"metadata": {"labels": {ROLE: ""}}, "spec": {"taints": taints}}
    api.ask("PATCH", path, body, STRATEGIC)


def init(options: argparse.Namespace) -> None:
    """`kubeadm init`."""
    given = documents.read(options.config)
    first, cluster = given["InitConfiguration"], given["ClusterConfiguration"]
    if cluster["kubernetesVersion"] != f"v{options.release}":
        raise SystemExit(f"error: this kubeadm is v{options.release}, not {cluster['kubernetesVersion']}")
    documents.refuse_second_run()
    pki.make_cluster_keys()
    server = f"https://{cluster['controlPlaneEndpoint']}"
    name = first["nodeRegistration"]["name"]
    write_kubeconfig(ADMIN, server, "kubernetes-admin", "kubeadm:cluster-admins")
    write_kubeconfig(SUPER, server, "kubernetes-super-admin", "system:masters")
    own = pki.client(f"/O=system:nodes/CN=system:node:{name}")
    write_kubelet_conf(server, Path(f"{pki.PKI}/ca.crt").read_bytes(), name, *own)
    documents.control_plane(cluster, first["localAPIEndpoint"])
    documents.kubelet(given["KubeletConfiguration"], first["nodeRegistration"])
    start_kubelet()
    local = first["localAPIEndpoint"]
    api = Api.of(SUPER, f"https://{local['advertiseAddress']}:{local['bindPort']}")
    wait("the API server", lambda: api.ask("GET", "/readyz"))
    group = "rbac.authorization.k8s.io"
    api.put(
        f"{RBAC}/clusterrolebindings",
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "kubeadm:cluster-admins"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": "kubeadm:cluster-admins"}],
        },
    )
    store(api, "kubeadm-config", {"ClusterConfiguration": yaml.safe_dump(cluster)})
    store(api, "kubelet-config", {"kubelet": yaml.safe_dump(given["KubeletConfiguration"])})
    grant(api, "kubeadm:nodes-kubeadm-config", "configmaps", ["kubeadm-config", "kubelet-config"])
    grant(api, "kubeadm:kubeadm-certs", "secrets", ["kubeadm-certs"])
    mark(api, first["nodeRegistration"])
    print("Your Kubernetes control-plane has initialized successfully! (stand-in)")


def upload_certs(options: argparse.Namespace) -> None:
    """`kubeadm init phase upload-certs`."""
    key = documents.read(options.config, complete=False)["InitConfiguration"]["certificateKey"]
    data = {}
    for name in pki.shared_files():
        secret = pki.encrypted(Path(pki.PKI, name).read_bytes(), key)
        data[name.replace("/", "-")] = base64.b64encode(secret).decode()
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("kubeadm-certs"), "data": data}
    Api.of(ADMIN).put(f"{SYSTEM}/secrets", document)


def download_certs(api: Api, key: str) -> None:
    """Phase download-certs of a joining control plane."""
    for name, value in api.ask("GET", f"{SYSTEM}/secrets/kubeadm-certs")["data"].items():
        path = f"{pki.PKI}/{name.replace('etcd-', 'etcd/')}"
        write(path, pki.encrypted(base64.b64decode(value), key, back=True))


def create_token(options: argparse.Namespace) -> None:
    """`kubeadm token create`."""
    identifier, secret = ("".join(secrets.choice(LETTERS) for _ in range(size)) for size in (6, 16))
    minutes = int(options.ttl.removesuffix("m"))
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    data = {
        "token-id": identifier,
        "token-secret": secret,
        "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": TOKEN_GROUP,
    }
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": metadata(f"bootstrap-token-{identifier}"),
        "stringData": data,
    }
    Api.of(options.kubeconfig).put(f"{SYSTEM}/secrets", document)
    print(f"{identifier}.{secret}")


def join(options: argparse.Namespace) -> None:
    """`kubeadm join`: by a kubeconfig that holds the cluster's CA, and a token."""
    given = documents.read(options.config)["JoinConfiguration"]
    documents.refuse_second_run()
    found = yaml.safe_load(Path(given["discovery"]["file"]["kubeConfigPath"]).read_text())
    cluster = found["clusters"][0]["cluster"]
    ca, server = base64.b64decode(cluster["certificate-authority-data"]), cluster["server"]
    token = given["discovery"]["tlsBootstrapToken"]
    api = Api(server, ca, token=token)
    configuration = api.ask("GET", f"{SYSTEM}/configmaps/kubeadm-config")["data"]["ClusterConfiguration"]
    registration, name = given["nodeRegistration"], given["nodeRegistration"]["name"]
    write(f"{pki.PKI}/ca.crt", ca, 0o644)
    if "controlPlane" in given:
        download_certs(api, given["controlPlane"]["certificateKey"])
        write_kubeconfig(ADMIN, server, "kubernetes-admin", "kubeadm:cluster-admins")
        refuse_ready_node(Api.of(ADMIN), name)
        forward = server.removeprefix("https://")
        documents.control_plane(
            yaml.safe_load(configuration), given["controlPlane"]["localAPIEndpoint"], forward
        )
    key = pki.new_key()
    certificate = ask_for_certificate(api, pki.request(key, f"/O=system:nodes/CN=system:node:{name}"))
    write_kubelet_conf(server, ca, name, certificate, key)
    kubelet = yaml.safe_load(api.ask("GET", f"{SYSTEM}/configmaps/kubelet-config")["data"]["kubelet"])
    documents.kubelet(kubelet, registration)
    start_kubelet()
    node = Api.of("/etc/kubernetes/kubelet.conf")
    wait("the node", lambda: node.ask("GET", f"/api/v1/nodes/{name}"))
    if "controlPlane" in given:
        mark(Api.of(ADMIN), registration)


def refuse_ready_node(api: Api, name: str) -> None:
    """As kubeadm does for a name that another node has, or a node that was not deleted."""
    try:
        found = api.ask("GET", f"/api/v1/nodes/{name}")
    except Refused as error:
        if error.code == 404:
            return
        raise
    if any(
        one["type"] == "Ready" and one["status"] == "True" for one in found["status"].get("conditions", [])
    ):
        raise SystemExit(f'error: a Node with name "{name}" and status "Ready" already exists in the cluster')


def ask_for_certificate(api: Api, request: bytes) -> bytes:
    """The kubelet's client certificate, by a request that the controller manager signs."""
    document = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"node-csr-{secrets.token_hex(8)}"},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    }
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    api.ask("POST", path, document)
    mine = f"{path}/{document['metadata']['name']}"
    signed = wait("a certificate", lambda: api.ask("GET", mine)["status"].get("certificate"))
    return base64.b64decode(signed)


def cluster_version(api: Api) -> dict[str, Any]:
    """The configuration that the cluster keeps of itself."""
    return yaml.safe_load(
        api.ask("GET", f"{SYSTEM}/configmaps/kubeadm-config")["data"]["ClusterConfiguration"]
    )


def upgrade(options: argparse.Namespace) -> None:
    """`kubeadm upgrade plan|apply|node`."""
    admin = Path(ADMIN).exists()
    api = Api.of(ADMIN if admin else "/etc/kubernetes/kubelet.conf")
    if options.what != "node":
        if options.version != f"v{options.release}":
            raise SystemExit(
                f"error: {options.version} is not the version of this kubeadm, v{options.release}"
            )
        present = cluster_version(api)
        if int(options.release.split(".")[1]) - int(present["kubernetesVersion"].split(".")[1]) not in (0, 1):
            raise SystemExit(f"error: {present['kubernetesVersion']} cannot become {options.version} at once")
        if options.what == "plan":
            print(f"{present['kubernetesVersion']} -> {options.version}")
            return
        present["kubernetesVersion"] = options.version
        store(api, "kubeadm-config", {"ClusterConfiguration": yaml.safe_dump(present)})
        documents.renew(options.release)
    elif admin:
        wanted = cluster_version(api)["kubernetesVersion"]
        if wanted != f"v{options.release}":
            raise SystemExit(f"error: the cluster is {wanted}; kubeadm upgrade apply comes first")
        documents.renew(options.release)


def reset() -> None:
    """`kubeadm reset --force`: as the real one it leaves the pod network's files and all rules."""
    subprocess.run(["systemctl", "stop", "kubelet.service", "standin-static-kube-apiserver"], check=False)
    for path in (
        "manifests",
        "pki",
        "admin.conf",
        "super-admin.conf",
        "kubelet.conf",
        "bootstrap-kubelet.conf",
    ):
        target = Path("/etc/kubernetes", path)
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
    for folder in (Path("/var/lib/etcd"), Path("/var/lib/kubelet")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    print("The reset process does not clean CNI configuration, iptables rules or IPVS tables.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="kubeadm", allow_abbrev=False)
    root.add_argument("--kubeconfig", default=ADMIN)
    commands = root.add_subparsers(dest="command", required=True)
    commands.add_parser("version").add_argument("-o", choices=["short", "json"], default="json")
    config = commands.add_parser("config").add_subparsers(dest="what", required=True)
    config.add_parser("validate").add_argument("--config", required=True)
    listing = config.add_parser("images").add_subparsers(dest="images", required=True)
    for name in ("list", "pull"):
        listing.add_parser(name).add_argument("--config")
    commands.add_parser("certs").add_argument("what", choices=["certificate-key"])
    token = commands.add_parser("token").add_subparsers(dest="what", required=True).add_parser("create")
    token.add_argument("--ttl", required=True)
    for name in ("init", "join"):
        one = commands.add_parser(name)
        one.add_argument("words", nargs="*")
        one.add_argument("--config", required=True)
        one.add_argument("--skip-token-print", action="store_true")
        one.add_argument("--upload-certs", action="store_true")
    upgrading = commands.add_parser("upgrade").add_subparsers(dest="what", required=True)
    upgrading.add_parser("plan").add_argument("version")
    apply = upgrading.add_parser("apply")
    apply.add_argument("version")
    apply.add_argument("--yes", action="store_true", required=True)
    upgrading.add_parser("node")
    resetting = commands.add_parser("reset")
    resetting.add_argument("--force", action="store_true", required=True)
    resetting.add_argument("--cri-socket", required=True)
    return root


def main(version: str) -> int:
    """The program."""
    # What a command line shows is seen by every user of a host while it runs; the tests read this file.
    with Path("/var/log/standin-arguments.log").open("a", encoding="utf-8") as log:
        print(json.dumps([time.time(), version, *sys.argv]), file=log)
    options = parser().parse_args()
    options.release = version
    try:
        dispatch(options)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def dispatch(options: argparse.Namespace) -> None:
    """Run the subcommand."""
    if options.command == "version":
        text = json.dumps({"clientVersion": {"gitVersion": f"v{options.release}"}})
        print(f"v{options.release}" if options.o == "short" else text)
    elif options.command == "config":
        if options.what == "validate":
            documents.read(options.config)
            print("ok")
        elif options.images == "list":
            print("\n".join(documents.images(options.release)))
        else:
            raise SystemExit("error: the stand-in has no registry; take kubeadm_image_source=archives")
    elif options.command == "certs":
        print(secrets.token_hex(32))
    elif options.command == "token":
        create_token(options)
    elif options.command == "init" and options.words:
        if options.words != ["phase", "upload-certs"] or not options.upload_certs:
            raise SystemExit(f"error: unknown phase {options.words}")
        upload_certs(options)
    else:
        {"init": init, "join": join, "upgrade": upgrade, "reset": lambda _: reset()}[options.command](options)
