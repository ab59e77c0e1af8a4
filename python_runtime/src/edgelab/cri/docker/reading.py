"""Docker's answers as CRI messages (`dockershim/convert.go`). Times are nanoseconds since 1970."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.docker import naming

Obj = dict[str, Any]

NEVER = "0001-01-01T00:00:00Z"
STATES = {"created": pb.CONTAINER_CREATED, "running": pb.CONTAINER_RUNNING, "paused": pb.CONTAINER_RUNNING}
STATES |= {"exited": pb.CONTAINER_EXITED, "dead": pb.CONTAINER_EXITED, "restarting": pb.CONTAINER_UNKNOWN}
OOM_KILLED, COMPLETED, ERROR, CANNOT_RUN = "OOMKilled", "Completed", "Error", "ContainerCannotRun"
START_FAILURES = (126, 127)
PULLABLE, LOCAL = "docker-pullable://", "docker://"
PROPAGATION = {"rslave": pb.PROPAGATION_HOST_TO_CONTAINER, "rshared": pb.PROPAGATION_BIDIRECTIONAL}


def nanoseconds(text: str) -> int:
    """`2026-11-21T10:00:00.123456789Z` (or without a fraction); 0 for Docker's zero time."""
    if not text or text == NEVER:
        return 0
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def name_of(item: Obj) -> naming.Name | None:
    """The kubelet's name among a listed container's names."""
    return next((name for text in item.get("Names") or [] if (name := naming.parse(text))), None)


def sandbox(item: Obj, name: naming.Name) -> pb.PodSandbox:
    """An entry of GET /containers/json."""
    labels, annotations = naming.split(item.get("Labels") or {})
    return pb.PodSandbox(
        id=item["Id"],
        metadata=_pod(name),
        state=pb.SANDBOX_READY if item["State"] == "running" else pb.SANDBOX_NOTREADY,
        created_at=item["Created"] * 1_000_000_000,
        labels=labels,
        annotations=annotations,
    )


def sandbox_status(found: Obj, name: naming.Name, ips: list[str]) -> pb.PodSandboxStatus:
    """GET /containers/ID/json of a sandbox."""
    labels, annotations = naming.split(found["Config"].get("Labels") or {})
    first, more = (ips[0], ips[1:]) if ips else ("", [])
    return pb.PodSandboxStatus(
        id=found["Id"],
        metadata=_pod(name),
        state=pb.SANDBOX_READY if found["State"]["Running"] else pb.SANDBOX_NOTREADY,
        created_at=nanoseconds(found["Created"]),
        network=pb.PodSandboxNetworkStatus(ip=first, additional_ips=[pb.PodIP(ip=ip) for ip in more]),
        labels=labels,
        annotations=annotations,
    )


def addresses(found: Obj) -> list[str]:
    """The addresses that Docker gave a sandbox, IPv4 first."""
    networks = ((found.get("NetworkSettings") or {}).get("Networks") or {}).values()
    given = [network.get("IPAddress") for network in networks]
    given += [network.get("GlobalIPv6Address") for network in networks]
    return [address for address in given if address]


def container(item: Obj, name: naming.Name) -> pb.Container:
    """An entry of GET /containers/json."""
    labels, annotations = naming.split(item.get("Labels") or {})
    return pb.Container(
        id=item["Id"],
        pod_sandbox_id=(item.get("Labels") or {}).get(naming.SANDBOX_ID, ""),
        metadata=pb.ContainerMetadata(name=name.container, attempt=name.attempt),
        image=pb.ImageSpec(image=item.get("Image", "")),
        image_ref=item.get("ImageID", ""),
        state=STATES.get(item["State"], pb.CONTAINER_UNKNOWN),
        created_at=item["Created"] * 1_000_000_000,
        labels=labels,
        annotations=annotations,
    )


def container_status(found: Obj, name: naming.Name, image: Obj | None) -> pb.ContainerStatus:
    """GET /containers/ID/json; `image` is what GET /images says of its image, if that is still there."""
    own = found["Config"].get("Labels") or {}
    labels, annotations = naming.split(own)
    state = found["State"]
    kind = STATES.get(state["Status"], pb.CONTAINER_UNKNOWN)
    reason = _reason(state) if kind == pb.CONTAINER_EXITED else ""
    status = pb.ContainerStatus(
        id=found["Id"],
        metadata=pb.ContainerMetadata(name=name.container, attempt=name.attempt),
        state=kind,
        created_at=nanoseconds(found["Created"]),
        started_at=nanoseconds(state["StartedAt"]),
        finished_at=nanoseconds(state["FinishedAt"]),
        exit_code=state["ExitCode"],
        image=pb.ImageSpec(image=_shown(found, image)),
        image_ref=_reference(found, image),
        reason=reason,
        message=state.get("Error") or "",
        labels=labels,
        annotations=annotations,
        mounts=[_mount(mount) for mount in found.get("Mounts") or []],
        log_path=own.get(naming.LOG_PATH, ""),
    )
    if kind == pb.CONTAINER_CREATED and state.get("Error"):
        # Docker leaves a container that it could not start as created; for CRI it has ended.
        status.state, status.reason = pb.CONTAINER_EXITED, CANNOT_RUN
        status.finished_at = status.started_at = status.created_at
    return status


def image(found: Obj) -> pb.Image:
    """An entry of GET /images/json, or GET /images/NAME/json, which alone knows the user."""
    result = pb.Image(
        id=found["Id"],
        repo_tags=[tag for tag in found.get("RepoTags") or [] if tag != "<none>:<none>"],
        repo_digests=[entry for entry in found.get("RepoDigests") or [] if not entry.startswith("<none>")],
        size=found.get("Size", 0),
    )
    user = ((found.get("Config") or {}).get("User") or "").partition(":")[0]
    if user.isdecimal():
        result.uid.value = int(user)
    else:
        result.username = user
    return result


def stats(item: Obj, name: naming.Name, found: Obj) -> pb.ContainerStats:
    """GET /containers/ID/stats of a listed container."""
    listed = container(item, name)
    now = nanoseconds(found["read"])
    memory = found.get("memory_stats") or {}
    usage = memory.get("usage", 0)
    details = memory.get("stats") or {}
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    faults = details.get("pgfault", 0)
    result = pb.ContainerStats(
        attributes=pb.ContainerAttributes(
            id=listed.id, metadata=listed.metadata, labels=listed.labels, annotations=listed.annotations
        )
    )
    result.cpu.timestamp = result.memory.timestamp = now
    cpu = (found.get("cpu_stats") or {}).get("cpu_usage") or {}
    result.cpu.usage_core_nano_seconds.value = cpu.get("total_usage", 0)
    result.memory.usage_bytes.value = usage
    result.memory.working_set_bytes.value = max(0, usage - inactive)
    result.memory.rss_bytes.value = details.get("rss", details.get("anon", 0))
    result.memory.page_faults.value = faults
    result.memory.major_page_faults.value = details.get("pgmajfault", 0)
    result.writable_layer.timestamp = now
    result.writable_layer.used_bytes.value = item.get("SizeRw") or 0
    return result


def _pod(name: naming.Name) -> pb.PodSandboxMetadata:
    return pb.PodSandboxMetadata(name=name.pod, uid=name.uid, namespace=name.namespace, attempt=name.attempt)


def _reason(state: Obj) -> str:
    if state.get("OOMKilled"):
        return OOM_KILLED
    if state["ExitCode"] == 0:
        return COMPLETED
    return CANNOT_RUN if state["ExitCode"] in START_FAILURES and state.get("Error") else ERROR


def _shown(found: Obj, image: Obj | None) -> str:
    """How people call the image: containers are made from ids, which say nothing."""
    names = [*((image or {}).get("RepoTags") or []), *((image or {}).get("RepoDigests") or [])]
    return str(names[0] if names else found["Config"]["Image"])


def _reference(found: Obj, image: Obj | None) -> str:
    digests = (image or {}).get("RepoDigests") or []
    return f"{PULLABLE}{digests[0]}" if digests else f"{LOCAL}{found['Image']}"


def _mount(mount: Obj) -> pb.Mount:
    return pb.Mount(
        host_path=mount.get("Source", ""),
        container_path=mount["Destination"],
        readonly=not mount.get("RW", True),
        propagation=PROPAGATION.get(mount.get("Propagation", ""), pb.PROPAGATION_PRIVATE),
    )


def link_log(found: Obj) -> None:
    """Make the kubelet's log path point to the file that Docker writes."""
    wanted, written = (found["Config"].get("Labels") or {}).get(naming.LOG_PATH), found.get("LogPath")
    if not wanted or not written:
        return
    path = Path(wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    path.symlink_to(written)
