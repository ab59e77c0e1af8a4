"""What Docker is asked to create for a sandbox and a container (`dockershim/helpers.go`).

A sandbox is a container of the pause image that holds the pod's network and IPC; containers join them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.docker import naming
from edgelab.cri.errors import CriError

Obj = dict[str, Any]

SANDBOX_OOM_SCORE = -998
SANDBOX_CPU_SHARES = 2
PROTOCOLS = {pb.TCP: "tcp", pb.UDP: "udp", pb.SCTP: "sctp"}
PROPAGATION = {
    pb.PROPAGATION_PRIVATE: "rprivate",
    pb.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    pb.PROPAGATION_BIDIRECTIONAL: "rshared",
}
CAP_SYS_RESOURCE = 24


def sandbox(config: pb.PodSandboxConfig, image: str) -> Obj:
    """The body of POST /containers/create for a sandbox. Raises CriError."""
    linux, context = config.linux, config.linux.security_context
    modes = context.namespace_options
    ports, bindings = _ports(config)
    host: Obj = {
        "NetworkMode": "host" if modes.network == pb.NODE else "default",
        "IpcMode": "host" if modes.ipc == pb.NODE else "shareable",
        "PidMode": "host" if modes.pid == pb.NODE else "",
        "PortBindings": bindings,
        "CgroupParent": linux.cgroup_parent,
        "CpuShares": SANDBOX_CPU_SHARES,
        "OomScoreAdj": oom_score(SANDBOX_OOM_SCORE),
        "Dns": list(config.dns_config.servers),
        "DnsSearch": list(config.dns_config.searches),
        "DnsOptions": list(config.dns_config.options),
        "Sysctls": dict(linux.sysctls),
        "SecurityOpt": _options(context.seccomp, context.selinux_options),
        "GroupAdd": [str(group) for group in context.supplemental_groups],
        "ReadonlyRootfs": context.readonly_rootfs,
    }
    return {
        "Image": image,
        "Hostname": config.hostname,
        "User": _user(context),
        "Labels": naming.labels(naming.SANDBOX, config.labels, config.annotations),
        "ExposedPorts": ports,
        "HostConfig": host,
    }


def container(
    parent: str, config: pb.ContainerConfig, pod: pb.PodSandboxConfig, log_options: dict[str, str]
) -> Obj:
    """The body for a container of the sandbox `parent`. Raises CriError."""
    context = config.linux.security_context
    log = str(Path(pod.log_directory) / config.log_path)
    body: Obj = {
        "Image": config.image.image,
        "Env": [f"{variable.key}={variable.value}" for variable in config.envs],
        "User": _user(context),
        "WorkingDir": config.working_dir,
        "Labels": naming.labels(
            naming.CONTAINER, config.labels, config.annotations, sandbox_id=parent, log_path=log
        ),
        "Tty": config.tty,
        "OpenStdin": config.stdin,
        "StdinOnce": config.stdin_once,
        "Healthcheck": {"Test": ["NONE"]},  # probes are the pod's, not the image's
        "HostConfig": {
            **_namespaces(parent, context),
            **_resources(config.linux.resources),
            **_security(context),
            "CgroupParent": pod.linux.cgroup_parent,
            "Mounts": [_mount(mount) for mount in config.mounts],
            "Devices": [
                {
                    "PathOnHost": device.host_path,
                    "PathInContainer": device.container_path,
                    "CgroupPermissions": device.permissions,
                }
                for device in config.devices
            ],
            "LogConfig": {"Type": "json-file", "Config": log_options},
            "RestartPolicy": {"Name": "no"},
        },
    }
    if config.command:
        body["Entrypoint"] = list(config.command)
    if config.args or config.command:
        body["Cmd"] = list(config.args)  # a command of the pod's own does without the image's arguments
    return body


def oom_score(wanted: int) -> int:
    """The score, or the lowest that may be set: going below one's own takes CAP_SYS_RESOURCE."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    if int(effective, 16) >> CAP_SYS_RESOURCE & 1:
        return wanted
    return max(wanted, int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii")))


def limits(resources: pb.LinuxContainerResources) -> Obj:
    """What of a running container can be changed (POST /containers/ID/update)."""
    asked = {
        "CpuShares": resources.cpu_shares,
        "CpuPeriod": resources.cpu_period,
        "CpuQuota": resources.cpu_quota,
        "Memory": resources.memory_limit_in_bytes,
        "MemorySwap": resources.memory_limit_in_bytes,  # none besides
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
    }
    return {key: value for key, value in asked.items() if value}


def _resources(resources: pb.LinuxContainerResources) -> Obj:
    return {**limits(resources), "OomScoreAdj": oom_score(resources.oom_score_adj)}


def _namespaces(parent: str, context: pb.LinuxContainerSecurityContext) -> Obj:
    modes, shared = context.namespace_options, f"container:{parent}"
    on_host = modes.network == pb.NODE
    pids = {pb.NODE: "host", pb.POD: shared}
    return {
        "NetworkMode": shared,
        "IpcMode": "host" if modes.ipc == pb.NODE else shared,
        "PidMode": pids.get(modes.pid, ""),
        "UTSMode": "host" if on_host else "",
    }


def _security(context: pb.LinuxContainerSecurityContext) -> Obj:
    options = _options(context.seccomp, context.selinux_options)
    if context.no_new_privs:
        options.append("no-new-privileges")
    if context.apparmor.localhost_ref:
        options.append(f"apparmor={context.apparmor.localhost_ref}")
    found: Obj = {
        "Privileged": context.privileged,
        "ReadonlyRootfs": context.readonly_rootfs,
        "CapAdd": list(context.capabilities.add_capabilities),
        "CapDrop": list(context.capabilities.drop_capabilities),
        "GroupAdd": [str(group) for group in context.supplemental_groups],
        "SecurityOpt": options,
    }
    if not context.privileged:
        found["MaskedPaths"] = list(context.masked_paths)
        found["ReadonlyPaths"] = list(context.readonly_paths)
    return found


def _options(seccomp: pb.SecurityProfile, selinux: pb.SELinuxOption) -> list[str]:
    options = [
        f"label={name}:{value}"
        for name in ("user", "role", "type", "level")
        if (value := getattr(selinux, name))
    ]
    if seccomp.profile_type == pb.SecurityProfile.Unconfined:
        options.append("seccomp=unconfined")
    elif seccomp.profile_type == pb.SecurityProfile.Localhost:
        try:
            options.append(f"seccomp={Path(seccomp.localhost_ref).read_text()}")
        except OSError as error:
            text = f"seccomp profile {seccomp.localhost_ref}: {error.strerror}"
            raise CriError("INVALID_ARGUMENT", text) from None
    return options


def _user(context: pb.LinuxContainerSecurityContext | pb.LinuxSandboxSecurityContext) -> str:
    user = str(context.run_as_user.value) if context.HasField("run_as_user") else ""
    user = user or getattr(context, "run_as_username", "")
    if context.HasField("run_as_group"):
        return f"{user or '0'}:{context.run_as_group.value}"
    return user


def _mount(mount: pb.Mount) -> Obj:
    return {
        "Type": "bind",
        "Source": mount.host_path,
        "Target": mount.container_path,
        "ReadOnly": mount.readonly,
        "BindOptions": {"Propagation": PROPAGATION[mount.propagation]},
    }


def _ports(config: pb.PodSandboxConfig) -> tuple[Obj, Obj]:
    exposed: Obj = {}
    bindings: Obj = {}
    for port in config.port_mappings:
        key = f"{port.container_port}/{PROTOCOLS[port.protocol]}"
        exposed[key] = {}
        if port.host_port:
            binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
            bindings.setdefault(key, []).append(binding)
    return exposed, bindings
