"""The Pod Security Standards (`k8s.io/pod-security-admission/policy`): baseline and restricted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Obj = dict[str, Any]
Check = Callable[[Obj, Obj], tuple[str, str]]

FINE = ("", "")
_CAPABILITIES = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD"
    " NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
)
CAPABILITIES = set(_CAPABILITIES.split())
_SYSCTLS = (
    "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range"
    " net.ipv4.ip_unprivileged_port_start net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time"
    " net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem"
    " net.ipv4.tcp_wmem"
)
SYSCTLS = set(_SYSCTLS.split())
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = ("RuntimeDefault", "Localhost")
_VOLUMES = "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret"
VOLUMES = set(_VOLUMES.split())
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(level: str, pod: Obj) -> str:
    """What of a pod (or a template) the level forbids, in words; empty when nothing is."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    checks = BASELINE if level == "baseline" else RESTRICTED
    found = [check(metadata, spec) for check in checks]
    return ", ".join(f"{reason} ({detail})" for reason, detail in found if reason)


def _containers(spec: Obj) -> Iterator[tuple[str, Obj, Obj]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield container.get("name") or "", container, container.get("securityContext") or {}


def _collected(spec: Obj, read: Callable[[Obj, Obj], Iterable[str]]) -> tuple[list[str], list[str]]:
    """The containers in which something is found, and all that is found."""
    names: list[str] = []
    values: set[str] = set()
    for name, container, context in _containers(spec):
        found = set(read(container, context))
        names += [name] if found else []
        values |= found
    return names, sorted(values)


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _which(names: list[str]) -> str:
    return f"container{'s' * (len(names) != 1)} {_quoted(names)}"


def _setters(spec: Obj, wrong: Callable[[Obj], bool]) -> str:
    """Who sets something wrong: the pod, its containers, or both."""
    found = ["pod"] if wrong(spec.get("securityContext") or {}) else []
    names = [name for name, _, context in _containers(spec) if wrong(context)]
    return " and ".join(found + ([_which(names)] if names else []))


def _values(spec: Obj, read: Callable[[Obj], Iterable[str]]) -> list[str]:
    contexts = [spec.get("securityContext") or {}, *(context for _, _, context in _containers(spec))]
    return sorted({value for context in contexts for value in read(context)})


def _app_armor(metadata: Obj, spec: Obj) -> tuple[str, str]:
    def wrong(context: Obj) -> list[str]:
        found = (context.get("appArmorProfile") or {}).get("type")
        return [] if found is None or found in PROFILES else [found]

    who, values = _setters(spec, lambda context: bool(wrong(context))), _values(spec, wrong)
    marks = [
        f'{key}="{value}"'
        for key, value in sorted((metadata.get("annotations") or {}).items())
        if key.startswith(APPARMOR) and value and not value.startswith(("runtime/default", "localhost/"))
    ]
    if marks:
        who = " and ".join(filter(None, (who, "annotation" + "s" * (len(marks) != 1))))
    if not who:
        return FINE
    values += marks
    reason = "forbidden AppArmor profile" + "s" * (len(values) != 1)
    return reason, f"{who} must not set AppArmor profile type to {_quoted(values)}"


def _added(spec: Obj, allowed: set[str]) -> tuple[list[str], list[str]]:
    """The containers that add capabilities that they may not, and those."""

    def added(container: Obj, context: Obj) -> set[str]:
        return set((context.get("capabilities") or {}).get("add") or ()) - allowed

    return _collected(spec, added)


def _capabilities(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names, found = _added(spec, CAPABILITIES)
    if not names:
        return FINE
    what = f"must not include {_quoted(found)} in securityContext.capabilities.add"
    return "non-default capabilities", f"{_which(names)} {what}"


def _namespaces(metadata: Obj, spec: Obj) -> tuple[str, str]:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return ("host namespaces", ", ".join(found)) if found else FINE


def _host_paths(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names = [volume.get("name") or "" for volume in spec.get("volumes") or () if "hostPath" in volume]
    return ("hostPath volumes", f"volume{'s' * (len(names) != 1)} {_quoted(names)}") if names else FINE


def _host_ports(metadata: Obj, spec: Obj) -> tuple[str, str]:
    def used(container: Obj, context: Obj) -> list[str]:
        return [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]

    names, ports = _collected(spec, used)
    if not names:
        return FINE
    what = f"{'use' if len(names) != 1 else 'uses'} hostPort{'s' * (len(ports) != 1)}"
    return "hostPort", f"{_which(names)} {what} {', '.join(ports)}"


def _probed_hosts(container: Obj, context: Obj) -> list[str]:
    hooks, probes = container.get("lifecycle") or {}, ("livenessProbe", "readinessProbe", "startupProbe")
    actions = [*map(container.get, probes), hooks.get("postStart"), hooks.get("preStop")]
    targets = [(a or {}).get(way) or {} for a in actions for way in ("httpGet", "tcpSocket")]
    return [str(target["host"]) for target in targets if target.get("host")]


def _host_probes(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names, hosts = _collected(spec, _probed_hosts)
    if not names:
        return FINE
    what = f"{'use' if len(names) != 1 else 'uses'} probe or lifecycle host{'s' * (len(hosts) != 1)}"
    return "probe or lifecycle host", f"{_which(sorted(names))} {what} {_quoted(hosts)}"


def _privileged(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names = [name for name, _, context in _containers(spec) if context.get("privileged")]
    return ("privileged", f"{_which(names)} must not set securityContext.privileged=true") if names else FINE


def _proc_mount(metadata: Obj, spec: Obj) -> tuple[str, str]:
    found = [(name, context.get("procMount")) for name, _, context in _containers(spec)]
    wrong = [(name, mount) for name, mount in found if mount not in (None, "Default")]
    if not wrong:
        return FINE
    values = _quoted(sorted({str(mount) for _, mount in wrong}))
    text = f"{_which([name for name, _ in wrong])} must not set securityContext.procMount to {values}"
    return "procMount", text


def _selinux(metadata: Obj, spec: Obj) -> tuple[str, str]:
    def types(context: Obj) -> list[str]:
        found = (context.get("seLinuxOptions") or {}).get("type") or ""
        return [] if found in SELINUX_TYPES else [found]

    def given(context: Obj) -> list[str]:
        options = context.get("seLinuxOptions") or {}
        return [field for field in ("user", "role") if options.get(field)]

    who = _setters(spec, lambda context: bool(types(context) or given(context)))
    if not who:
        return FINE
    values, fields = _values(spec, types), _values(spec, given)
    said = [f"type{'s' * (len(values) != 1)} {_quoted(values)}"] if values else []
    said += [f"{field} may not be set" for field in ("user", "role") if field in fields]
    return "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}"


def _seccomp_types(context: Obj) -> list[str]:
    found = (context.get("seccompProfile") or {}).get("type")
    return [] if found is None or found in PROFILES else [found]


def _seccomp(metadata: Obj, spec: Obj) -> tuple[str, str]:
    who = _setters(spec, lambda context: bool(_seccomp_types(context)))
    values = _quoted(_values(spec, _seccomp_types))
    text = f"{who} must not set securityContext.seccompProfile.type to {values}"
    return ("seccompProfile", text) if who else FINE


def _sysctls(metadata: Obj, spec: Obj) -> tuple[str, str]:
    found = [item.get("name") or "" for item in (spec.get("securityContext") or {}).get("sysctls") or ()]
    wrong = [name for name in found if name not in SYSCTLS]
    return ("forbidden sysctls", ", ".join(wrong)) if wrong else FINE


def _host_process(metadata: Obj, spec: Obj) -> tuple[str, str]:
    who = _setters(spec, lambda context: bool((context.get("windowsOptions") or {}).get("hostProcess")))
    text = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return ("hostProcess", text) if who else FINE


def _windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _escalation(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names = [n for n, _, context in _containers(spec) if context.get("allowPrivilegeEscalation") is not False]
    if not names or _windows(spec):
        return FINE
    text = f"{_which(names)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", text


def _few_capabilities(metadata: Obj, spec: Obj) -> tuple[str, str]:
    dropping = [(n, (c.get("capabilities") or {}).get("drop") or ()) for n, _, c in _containers(spec)]
    kept = [name for name, dropped in dropping if "ALL" not in dropped]
    adding, added = _added(spec, {"NET_BIND_SERVICE"})
    said = [f'{_which(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    if adding:
        what = f"must not include {_quoted(added)} in securityContext.capabilities.add"
        said.append(f"{_which(adding)} {what}")
    return ("unrestricted capabilities", "; ".join(said)) if said and not _windows(spec) else FINE


def _volumes(metadata: Obj, spec: Obj) -> tuple[str, str]:
    names, kinds = [], set()
    for volume in spec.get("volumes") or ():
        found = set(volume) - {"name"} - VOLUMES
        names += [volume.get("name") or ""] if found else []
        kinds |= found
    if not names:
        return FINE
    what = f"{'use' if len(names) != 1 else 'uses'} restricted volume type{'s' * (len(kinds) != 1)}"
    text = f"volume{'s' * (len(names) != 1)} {_quoted(names)} {what} {_quoted(sorted(kinds))}"
    return "restricted volume types", text


def _implicit(spec: Obj, field: str) -> list[str]:
    """Containers that do not set something that the pod does not set either."""
    if field in (spec.get("securityContext") or {}):
        return []
    return [name for name, _, context in _containers(spec) if field not in context]


def _non_root(metadata: Obj, spec: Obj) -> tuple[str, str]:
    reason, what = "runAsNonRoot != true", "securityContext.runAsNonRoot"
    who = _setters(spec, lambda context: context.get("runAsNonRoot") is False)
    if who:
        return reason, f"{who} must not set {what}=false"
    names = _implicit(spec, "runAsNonRoot")
    return (reason, f"pod or {_which(names)} must set {what}=true") if names else FINE


def _user(metadata: Obj, spec: Obj) -> tuple[str, str]:
    who = _setters(spec, lambda context: context.get("runAsUser") == 0)
    return ("runAsUser=0", f"{who} must not set runAsUser=0") if who else FINE


def _some_seccomp(metadata: Obj, spec: Obj) -> tuple[str, str]:
    if _windows(spec):
        return FINE
    found, names = _seccomp(metadata, spec), _implicit(spec, "seccompProfile")
    if found != FINE or not names:
        return found
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {_which(names)} {text}"


BASELINE: tuple[Check, ...] = (
    _app_armor,
    _capabilities,
    _namespaces,
    _host_paths,
    _host_ports,
    _host_probes,
    _privileged,
    _proc_mount,
    _selinux,
    _seccomp,
    _sysctls,
    _host_process,
)
OVERRIDDEN = (_capabilities, _host_paths, _seccomp)
RESTRICTED: tuple[Check, ...] = (
    *(check for check in BASELINE if check not in OVERRIDDEN),
    _escalation,
    _few_capabilities,
    _volumes,
    _non_root,
    _user,
    _some_seccomp,
)
