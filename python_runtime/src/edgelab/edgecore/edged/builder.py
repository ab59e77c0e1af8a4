"""From a Pod to what the runtime is asked for (kubelet `kuberuntime_{sandbox,container}.go`)."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import cgroups, env, names, podspec, resolver, security, volumes
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem, config_error
from edgelab.edgecore.interfaces import Meta
from edgelab.settings.durations import seconds
from edgelab.settings.edgecore import Edged as Settings

Obj = dict[str, Any]

PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}
PROPAGATION = {
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(slots=True)
class NodeSettings:
    """What building needs to know of the node; `memory` in bytes, `cfs_period` in microseconds.

    `api_server`: host and port at which pods find MetaServer, if it runs. `cgroup_driver` is the runtime's
    own as soon as it has said which.
    """

    name: str
    root: Path
    log_root: Path
    cgroup_driver: str = "cgroupfs"
    cgroup_root: str = ""
    cgroups_per_qos: bool = True
    cluster_dns: list[str] = field(default_factory=list)
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    memory: int = 0
    cfs_quota: bool = True
    cfs_period: int = cgroups.PERIOD
    seccomp_default: bool = False
    pids_limit: int = -1
    api_server: tuple[str, str] | None = None


def node_settings(
    settings: Settings, name: str, *, memory: int, api_server: tuple[str, str] | None
) -> NodeSettings:
    """The part of the settings that building needs; `memory` in bytes."""
    config = settings.tailoredKubeletConfig
    return NodeSettings(
        name=name,
        root=Path(settings.rootDirectory),
        log_root=Path(config.podLogsDir),
        cgroup_driver=config.cgroupDriver,
        cgroup_root=config.cgroupRoot,
        cgroups_per_qos=config.cgroupsPerQOS,
        cluster_dns=config.clusterDNS,
        cluster_domain=config.clusterDomain,
        resolv_conf=config.resolvConf,
        memory=memory,
        cfs_quota=config.cpuCFSQuota,
        cfs_period=int(seconds(config.cpuCFSQuotaPeriod) * 1_000_000),
        seccomp_default=settings.seccompDefault or config.seccompDefault,
        pids_limit=config.podPidsLimit,
        api_server=api_server,
    )


def log_directory(pod: Obj, node: NodeSettings) -> Path:
    """Where the runtime writes the logs of the pod's containers."""
    metadata = pod["metadata"]
    return node.log_root / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def cgroup_parent(pod: Obj, node: NodeSettings) -> str:
    """The pod's control group; empty when the runtime shall choose."""
    return cgroups.parent(pod, node.cgroup_driver, node.cgroup_root) if node.cgroups_per_qos else ""


def sandbox_config(
    pod: Obj, attempt: int, node: NodeSettings, warn: resolver.Warn = lambda *_: None
) -> pb.PodSandboxConfig:
    """The sandbox of a pod; `warn(reason, message)` of what it does not get. Raises ContainerProblem."""
    metadata = pod["metadata"]
    config = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=metadata["name"], uid=metadata["uid"], namespace=metadata["namespace"], attempt=attempt
        ),
        hostname=resolver.hostname(pod, node.name, node.cluster_domain),
        log_directory=str(log_directory(pod, node)),
        dns_config=resolver.dns_config(pod, node.cluster_dns, node.cluster_domain, node.resolv_conf, warn),
        port_mappings=[] if podspec.host_network(pod) else _ports(pod),
        labels=names.pod_labels(pod),
        annotations=names.pod_annotations(pod),
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent(pod, node),
            security_context=security.sandbox_context(pod),
            sysctls=_sysctls(pod),
        ),
    )
    if podspec.host_network(pod):
        config.hostname = ""  # the node's own UTS namespace
    return config


async def container_config(
    pod: Obj,
    container: Obj,
    *,
    restarts: int,
    image: pb.Image,
    paths: dict[str, Path],
    facts: PodFacts,
    node: NodeSettings,
    meta: Meta,
    target: str = "",
    warn: resolver.Warn = lambda *_: None,
) -> pb.ContainerConfig:
    """One container; `target` is the one whose processes it shall see.

    Raises ContainerProblem when the pod asks for what is not there.
    """
    values = {**_services(node), **await env.environment(pod, container, meta, facts, warn)}
    name = container["name"]
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=name, attempt=restarts),
        image=pb.ImageSpec(image=image.id, user_specified_image=container.get("image", "")),
        command=[env.expand(text, values) for text in container.get("command") or []],
        args=[env.expand(text, values) for text in container.get("args") or []],
        working_dir=container.get("workingDir") or "",
        envs=[pb.KeyValue(key=key, value=value) for key, value in values.items()],
        mounts=_mounts(pod, container, values, paths=paths, facts=facts, node=node),
        labels=names.container_labels(pod, container),
        annotations=names.container_annotations(pod, container, restarts),
        log_path=f"{name}/{restarts}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=pb.LinuxContainerConfig(
            resources=cgroups.resources(
                pod, container, node_memory=node.memory, quota=node.cfs_quota, period=node.cfs_period
            ),
            security_context=security.container_context(
                pod,
                container,
                image,
                seccomp_default=node.seccomp_default,
                seccomp_root=node.root / "seccomp",
                target=target,
            ),
        ),
    )


def _services(node: NodeSettings) -> dict[str, str]:
    """What leads programs to the API server: at the edge that is MetaServer."""
    if node.api_server is None:
        return {}
    host, port = node.api_server
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def _ports(pod: Obj) -> list[pb.PortMapping]:
    return [
        pb.PortMapping(
            protocol=PROTOCOLS.get(port.get("protocol") or "TCP", pb.TCP),
            container_port=int(port["containerPort"]),
            host_port=int(port.get("hostPort") or 0),
            host_ip=port.get("hostIP") or "",
        )
        for container in podspec.all_containers(pod)
        for port in container.get("ports") or []
    ]


def _sysctls(pod: Obj) -> dict[str, str]:
    context = pod["spec"].get("securityContext") or {}
    return {item["name"]: item["value"] for item in context.get("sysctls") or []}


def _mounts(
    pod: Obj,
    container: Obj,
    values: dict[str, str],
    *,
    paths: dict[str, Path],
    facts: PodFacts,
    node: NodeSettings,
) -> list[pb.Mount]:
    mounts = [_volume_mount(pod, mount, values, paths) for mount in container.get("volumeMounts") or []]
    taken = {mount.container_path.rstrip("/") for mount in mounts}
    base = node.root / "pods" / pod["metadata"]["uid"]
    if "/etc/hosts" not in taken and (facts.pod_ips or podspec.host_network(pod)):
        hosts = base / "etc-hosts"
        base.mkdir(parents=True, exist_ok=True, mode=0o750)
        hosts.write_text(resolver.hosts_file(pod, facts.pod_ips, node.name, node.cluster_domain))
        hosts.chmod(0o644)
        mounts.append(pb.Mount(container_path="/etc/hosts", host_path=str(hosts)))
    mounts.append(_message_mount(container, base))
    return mounts


def _message_mount(container: Obj, base: Path) -> pb.Mount:
    path = container.get("terminationMessagePath") or "/dev/termination-log"
    directory = base / "containers" / container["name"]
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    file = directory / secrets.token_hex(4)
    file.touch()
    file.chmod(0o666)  # the container's process may be anybody
    return pb.Mount(container_path=path, host_path=str(file))


def _volume_mount(pod: Obj, mount: Obj, values: dict[str, str], paths: dict[str, Path]) -> pb.Mount:
    name = mount["name"]
    if name not in paths:
        raise config_error(f"the pod has no volume {name!r} to mount at {mount['mountPath']}")
    path = paths[name]
    inner = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        inner = env.expand(mount["subPathExpr"], values)
    if inner:
        try:
            path = volumes.sub_path(path, inner)
        except (ValueError, OSError) as error:
            raise config_error(f"failed to prepare subPath for volumeMount {name!r}: {error}") from None
    volume = next(v for v in pod["spec"].get("volumes") or [] if v["name"] == name)
    _make_host_path(volume, path)
    if mount.get("recursiveReadOnly") == "Enabled":
        raise config_error(
            f'failed to resolve recursive read-only mode: volume "{name}" requested recursive read-only '
            "mode, but it is not supported by the runtime"
        )
    target = mount["mountPath"]
    return pb.Mount(
        container_path=target if target.startswith("/") else f"/{target}",
        host_path=str(path),
        readonly=bool(mount.get("readOnly")) or volumes.is_read_only(volume),
        propagation=PROPAGATION.get(mount.get("mountPropagation") or "", pb.PROPAGATION_PRIVATE),
    )


def _make_host_path(volume: Obj, path: Path) -> None:
    """A hostPath without a type is made as a directory, as runtimes do for the kubelet."""
    if "hostPath" in volume and not (volume["hostPath"] or {}).get("type") and not path.exists():
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)


def problem_of(error: Exception) -> ContainerProblem:
    """Any failure while a container is prepared, as its waiting state."""
    if isinstance(error, ContainerProblem):
        return error
    return ContainerProblem("CreateContainerError", str(error))
