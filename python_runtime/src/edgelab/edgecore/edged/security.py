"""securityContext as the runtime understands it (kubelet `kuberuntime/security_context.go`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.problems import config_error

Obj = dict[str, Any]

MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
SECCOMP_ROOT = Path("/var/lib/kubelet/seccomp")
"""Where profiles of type Localhost lie, unless rootDirectory says otherwise."""

READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Obj) -> pb.NamespaceOption:
    """Which of the node's namespaces the pod shares."""
    spec = pod["spec"]
    pid = pb.CONTAINER
    if spec.get("hostPID"):
        pid = pb.NODE
    elif spec.get("shareProcessNamespace"):
        pid = pb.POD
    return pb.NamespaceOption(
        network=pb.NODE if spec.get("hostNetwork") else pb.POD,
        pid=pid,
        ipc=pb.NODE if spec.get("hostIPC") else pb.POD,
    )


def sandbox_context(pod: Obj) -> pb.LinuxSandboxSecurityContext:
    """The sandbox's part of the pod's securityContext."""
    context = pod["spec"].get("securityContext") or {}
    containers = [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]
    result = pb.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any((c.get("securityContext") or {}).get("privileged") for c in containers),
        # The sandbox's own process needs no more than the runtime's default (`seccomp.go`).
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
        supplemental_groups=_groups(context),
        selinux_options=_selinux(context.get("seLinuxOptions")),
    )
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
        if context.get("runAsGroup") is not None:
            result.run_as_group.value = context["runAsGroup"]
    return result


def container_context(
    pod: Obj,
    container: Obj,
    image: pb.Image,
    *,
    seccomp_default: bool,
    seccomp_root: Path = SECCOMP_ROOT,
    target: str = "",
) -> pb.LinuxContainerSecurityContext:
    """One container's securityContext over the pod's; `target` is the container whose processes it sees.

    Raises ContainerProblem if it must not be root.
    """
    shared, own = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    merged = {**shared, **own}
    capabilities = own.get("capabilities") or {}
    unmasked = own.get("procMount") == "Unmasked" or bool(own.get("privileged"))
    result = pb.LinuxContainerSecurityContext(
        capabilities=pb.Capability(
            add_capabilities=capabilities.get("add") or [], drop_capabilities=capabilities.get("drop") or []
        ),
        privileged=bool(own.get("privileged")),
        namespace_options=namespaces(pod),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        supplemental_groups=_groups(shared),
        selinux_options=_selinux(merged.get("seLinuxOptions")),
        seccomp=_seccomp(merged.get("seccompProfile"), default=seccomp_default, root=seccomp_root),
        apparmor=_apparmor(*podspec.apparmor_profile(pod, container)),
        masked_paths=() if unmasked else MASKED,
        readonly_paths=() if unmasked else READ_ONLY,
    )
    if target:
        result.namespace_options.pid, result.namespace_options.target_id = pb.TARGET, target
    _set_user(result, pod, container, merged, image)
    return result


def _set_user(
    result: pb.LinuxContainerSecurityContext, pod: Obj, container: Obj, merged: Obj, image: pb.Image
) -> None:
    user = merged.get("runAsUser")
    named = image.username
    if user is None and not named:
        user = image.uid.value if image.HasField("uid") else 0
    if merged.get("runAsNonRoot") and (problem := _must_not_be_root(merged, user, named)):
        where = f'(pod: "{names.described(pod)}", container: {container["name"]})'
        raise config_error(f"{problem} {where}")
    if user is not None:
        result.run_as_user.value = int(user)
    else:
        result.run_as_username = named
    if merged.get("runAsGroup") is not None:
        result.run_as_group.value = int(merged["runAsGroup"])


def _must_not_be_root(merged: Obj, user: int | None, named: str) -> str:
    """Why a container that must not be root may be; empty when it is not."""
    if named and user is None:
        text = "container has runAsNonRoot and image has non-numeric user"
        return f"{text} ({named}), cannot verify user is non-root"
    if user != 0:
        return ""
    if merged.get("runAsUser") is not None:
        return "container's runAsUser breaks non-root policy"
    return "container has runAsNonRoot and image will run as root"


def _groups(context: Obj) -> list[int]:
    groups = [int(group) for group in context.get("supplementalGroups") or []]
    return groups if context.get("fsGroup") is None else [*groups, int(context["fsGroup"])]


def _selinux(options: Obj | None) -> pb.SELinuxOption | None:
    if not options:
        return None
    return pb.SELinuxOption(**{name: options.get(name, "") for name in ("user", "role", "type", "level")})


def _seccomp(profile: Obj | None, *, default: bool, root: Path) -> pb.SecurityProfile:
    kinds = pb.SecurityProfile
    match (profile or {}).get("type"):
        case "Localhost":
            path = root / str((profile or {}).get("localhostProfile") or "")
            return pb.SecurityProfile(profile_type=kinds.Localhost, localhost_ref=str(path))
        case "RuntimeDefault":
            return pb.SecurityProfile(profile_type=kinds.RuntimeDefault)
        case None if default:
            return pb.SecurityProfile(profile_type=kinds.RuntimeDefault)
    return pb.SecurityProfile(profile_type=kinds.Unconfined)


def _apparmor(kind: str, name: str) -> pb.SecurityProfile | None:
    kinds = pb.SecurityProfile
    match kind:
        case "Localhost":
            return pb.SecurityProfile(profile_type=kinds.Localhost, localhost_ref=name)
        case "RuntimeDefault":
            return pb.SecurityProfile(profile_type=kinds.RuntimeDefault)
        case "Unconfined":
            return pb.SecurityProfile(profile_type=kinds.Unconfined)
    return None
