"""Checks of what pods need on an edge host: control groups, kernel, container runtime, CNI, broker."""

from __future__ import annotations

import re

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    Unknown,
    bad,
    good,
    judges,
    warn,
)

ADDRESS = re.compile(r"^(?:[a-z]+://)?\[?(.*?)\]?:(\d+)$")


def _installed(facts):
    """Whether EdgeCore was set up; before that, what is missing is no fault."""
    return any(name.startswith("edgecore") for name in facts.need("units"))


def _missing(facts, text, fix):
    if not _installed(facts):
        raise Unknown(f"{text}: not installed yet, site.yml does it")
    return bad(text, fix)


@judges("EDGE-CGROUP-MEMORY")
def cgroup_memory(facts, wanted):
    """The memory controller."""
    found = facts.need("cgroup")
    if found["memory"]:
        return good("control groups version {} with memory".format(found["version"]))
    return bad(
        "the kernel's memory cgroup is off, so no limit of a pod can be set",
        "append `cgroup_enable=memory cgroup_memory=1` to the one line of /boot/firmware/cmdline.txt (older: "
        "/boot/cmdline.txt) and reboot; role raspberry_pi does it",
    )


@judges("EDGE-CGROUP-DRIVER")
def cgroup_driver(facts, wanted):
    """EdgeCore, the runtime and the host agree."""
    host = facts.need("cgroup")["driver"]
    runtime = facts.need("containers")["driver"]
    edgecore = facts.need("settings").get("cgroup_driver")
    text = f"EdgeCore {edgecore}, container runtime {runtime or 'its default'}, host {host}"
    if not edgecore or not runtime:
        raise Unknown(f"not all of them say: {text}")
    if edgecore != runtime:
        return bad(
            text,
            f"set edgecore_cgroup_driver and containerd_cgroup_driver to {host} (or auto) and run site.yml",
        )
    if runtime != host:
        return warn(text, f"set both drivers to {host}, or leave them on auto")
    return good(text)


@judges("EDGE-KERNEL")
def kernel(facts, wanted):
    """Overlay, forwarding, bridges."""
    found = facts.need("kernel")
    findings = []
    if not found["overlay"]:
        findings.append(
            bad("the kernel offers no overlay file system", "`modprobe overlay`, role host", "overlay")
        )
    if found["ip_forward"] != "1":
        fix = "`sysctl -w net.ipv4.ip_forward=1`; role host keeps it (host_sysctl)"
        findings.append(bad("packets are not forwarded, so pods reach nothing", fix, "net.ipv4.ip_forward"))
    if found["bridge_netfilter"] != "1":
        what = "off" if found["bridge_netfilter"] else "not loaded"
        fix = "`modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1`, role host"
        findings.append(
            warn(f"br_netfilter is {what}: services between pods of one node fail", fix, "br_netfilter")
        )
    return findings or good("overlay, ip_forward and br_netfilter are there")


@judges("EDGE-RUNTIME-SOCKET")
def runtime_socket(facts, wanted):
    """The socket answers."""
    found = facts.need("containers")
    if found["answers"]:
        return good("{} answers".format(found["socket"]))
    if not found["there"] and not found["configured"]:
        return _missing(
            facts,
            "there is no container runtime at {}".format(found["socket"]),
            "run site.yml --tags containerd",
        )
    what = "nobody answers at" if found["there"] else "there is no socket"
    unit = "docker" if "docker" in found["socket"] else "containerd"
    return bad(
        "{} {}".format(what, found["socket"]),
        f"systemctl restart {unit}; `journalctl -u {unit} -n 20` says why it ended",
    )


@judges("EDGE-RUNTIME-CRI")
def runtime_cri(facts, wanted):
    """containerd's CRI plugin."""
    disabled = [
        name for name in facts.need("containers")["disabled"] if name.endswith("cri") or ".cri." in name
    ]
    if not disabled:
        return good("the CRI plugin is not disabled")
    return bad(
        "containerd's configuration disables {} (Docker's packages do)".format(disabled[0]),
        "run site.yml --tags containerd, or take it out of disabled_plugins in /etc/containerd/config.toml "
        "and restart containerd",
    )


@judges("EDGE-CNI-CONFIG")
def cni_config(facts, wanted):
    """A readable CNI configuration."""
    found = facts.need("cni")
    fix = "run site.yml --tags cni"
    if not found["file"]:
        text = "no CNI configuration in {}: pods stay in ContainerCreating".format(found["directory"])
        return _missing(facts, text, fix)
    where = "{}/{}".format(found["directory"], found["file"])
    if found["problem"]:
        return bad("{} cannot be read: {}".format(where, found["problem"]), fix)
    return good("{}: network {}".format(where, found["network"]))


@judges("EDGE-CNI-PLUGINS")
def cni_plugins(facts, wanted):
    """Programs of the CNI configuration."""
    found = facts.need("cni")
    if not found["file"] or found["problem"]:
        raise Unknown("there is no CNI configuration that names plugins")
    if not found["missing"]:
        return good("all plugins are there")
    return bad(
        "not in {}: {}".format(" or ".join(wanted["cni_bin_dirs"]), ", ".join(found["missing"])),
        "apt install containernetworking-plugins, or set containerd_cni_bin_dir to where they are",
    )


@judges("EDGE-FORWARD-DROP")
def forward_drop(facts, wanted):
    """A FORWARD policy that drops pods' packets."""
    lines = facts.need("firewall")["iptables"]
    if lines is None:
        raise Unknown("iptables is not installed")
    rules = [line for line in lines if line.split()[1] == "FORWARD"]
    if "-P FORWARD DROP" not in rules:
        return good("chain FORWARD lets pods through")
    bridges = facts.need("cni").get("bridges") or []
    let = [
        rule for rule in rules if "-j ACCEPT" in rule and any(f" {name} " in f"{rule} " for name in bridges)
    ]
    chains = [rule for rule in rules if "CNI-FORWARD" in rule or "KUBE-FORWARD" in rule]
    if let or chains:
        return good("chain FORWARD drops, but lets pods through")
    bridge = bridges[0] if bridges else "BRIDGE"
    return bad(
        "chain FORWARD drops by default (Docker sets that), so pods reach nothing outside",
        f"iptables -I FORWARD -i {bridge} -j ACCEPT; iptables -I FORWARD -o {bridge} -j ACCEPT (with Docker: "
        "in chain DOCKER-USER), kept by iptables-persistent",
    )


def _broker(settings):
    """Host and port of the broker that EdgeCore is to use, or None when it brings its own."""
    match = ADDRESS.match(settings.get("mqtt_external") or "")
    return (match.group(1), int(match.group(2))) if match and settings.get("mqtt_mode") in (1, 2) else None


@judges("EDGE-MQTT-BROKER")
def mqtt_broker(facts, wanted):
    """The external broker answers."""
    settings = facts.need("settings")
    broker = _broker(settings)
    if broker is None:
        return good("EdgeCore brings its own broker")
    host, port = broker
    if host not in ("127.0.0.1", "localhost", "::1"):
        return good(f"the broker is on another host, {host}:{port}")
    if any(entry["port"] == port for entry in facts.need("listeners")):
        return good(f"a broker listens on port {port}")
    return bad(
        f"no broker listens on port {port} of this host, so no device is heard",
        "systemctl restart mosquitto, or set edgecore_mqtt_server to where the broker is",
    )


@judges("EDGE-MQTT-CLASH")
def mqtt_clash(facts, wanted):
    """Mosquitto and the internal broker on one port."""
    settings = facts.need("settings")
    if settings.get("mqtt_mode") not in (0, 1):
        return good("EdgeCore uses an external broker only")
    match = ADDRESS.match(settings.get("mqtt_internal") or "")
    port = int(match.group(2)) if match else 1884
    held = [
        e for e in facts.need("listeners") if e["port"] == port and not e["process"].startswith("edgecore")
    ]
    configured = port in facts.need("mosquitto")["listeners"]
    if not held and not configured:
        return good(f"nobody else wants port {port}")
    who = held[0]["process"] if held and held[0]["process"] else "mosquitto"
    return bad(
        f"EdgeCore's internal broker and {who} both want port {port}",
        "set modules.eventBus.mqttMode: 2 in edgecore_settings, or `systemctl disable --now mosquitto`, or "
        "another mqttServerInternal",
    )
