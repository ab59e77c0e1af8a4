"""One examination of a host: gather what the chosen checks need, ask keadm, judge."""

from __future__ import annotations

import os
import time

from ansible_collections.edgelab.kubeedge.plugins.module_utils import (
    doctor_gather_host,
    doctor_gather_install,
    doctor_gather_network,
    doctor_judge_edge,
    doctor_judge_host,
    doctor_judge_install,
    doctor_judge_network,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_catalogue import CHECKS, HOST, KEADM
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    NOT_INSTALLED,
    UNKNOWN,
    Facts,
    Unknown,
    chosen,
    count,
    examine,
    redacted,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.keadm import KeadmError, ask

SUBJECTS = (doctor_judge_edge, doctor_judge_host, doctor_judge_install, doctor_judge_network)
"""Each registers its checks when it is imported."""
UNITS = {
    "cloud": (
        "cloudcore.service",
        "edgesite.service",
        "kubelet.service",
        "victoria-metrics.service",
        "edgelab-twinexporter.service",
        "edgelab-console.service",
    ),
    "edge": ("edgecore.service", "containerd.service", "docker.service", "mosquitto.service"),
}
OLDER_KEADM = "the runtime of this host is older than the doctor: run site.yml --tags python_runtime"
CLOUDCORE_HEALTH = "http://127.0.0.1:9091/healthz"
TIMESERIES_HEALTH = "http://127.0.0.1:8428/health"


def gather(wanted):
    """Everything that is read of a host without keadm."""
    host, network, install = doctor_gather_host, doctor_gather_network, doctor_gather_install
    processes = host.commands()
    facts = Facts(now=time.time())
    facts.gather("system", host.system, processes)
    facts.gather("memory", host.memory)
    facts.gather("disks", host.disks, wanted["paths"])
    facts.gather("clock", host.clock, processes)
    facts.gather("cgroup", host.cgroup)
    facts.gather("kernel", host.kernel)
    facts.gather("names", host.names, wanted["names"])
    facts.gather("listeners", network.listeners, processes)
    facts.gather("routes", network.routes)
    facts.gather("own_address", network.owns, wanted["node_ip"])
    facts.gather("firewall", network.firewall, processes, wanted["node_ip"])
    units = [unit for side in wanted["sides"] for unit in UNITS[side]]
    facts.gather("units", install.units, units + (install.mappers() if "edge" in wanted["sides"] else []))
    facts.gather("runtime", install.runtime, wanted["runtime_root"], wanted["sides"])
    facts.gather("secrets", install.secrets)
    facts.gather("databases", install.databases)
    if "edge" in wanted["sides"]:
        ports = (wanted["hub_port"], wanted["https_port"])
        facts.gather("cloud", network.cloud, wanted["cloud_address"], ports, wanted["ca_file"])
        facts.gather("containers", install.containers, wanted["runtime_socket"])
        facts.gather("cni", install.cni, wanted["cni_conf_dir"], wanted["cni_bin_dirs"])
        facts.gather("mosquitto", install.mosquitto)
    if "cloud" in wanted["sides"]:
        facts.gather("answers", _answers, wanted["console_port"], wanted["exporter_port"])
    return facts


def _answers(console_port, exporter_port):
    exporter = f"http://127.0.0.1:{exporter_port}"
    asked = {
        "cloudcore": CLOUDCORE_HEALTH,
        "timeseries": TIMESERIES_HEALTH,
        "console": f"http://127.0.0.1:{console_port}/healthz",
        "exporter": f"{exporter}/healthz",
        "exporter_metrics": f"{exporter}/metrics",
    }
    return {name: doctor_gather_network.answer_of(url) for name, url in asked.items()}


def examine_host(module, wanted):
    """The module's result."""
    facts = gather(wanted)
    told, settings = {}, Unknown(NOT_INSTALLED)
    for side in wanted["sides"]:
        told[side], answer = _diagnose(module, wanted, side)
        if side == "edge":
            settings = answer
    facts["settings"] = settings
    listed = chosen([check.code for check in CHECKS], wanted["only"], wanted["ignore"])
    checks = []
    for check in CHECKS:
        sides = [side for side in wanted["sides"] if side in check.sides]
        if not sides or check.code not in listed:
            continue
        if check.source == HOST:
            checks += examine(check.code, facts, wanted)
        elif check.source == KEADM:
            checks += [one for side in sides for one in _of_keadm(check.code, told[side])]
    runtime = facts["runtime"]
    version = "" if isinstance(runtime, Unknown) else runtime.get("version") or ""
    return {"checks": checks, "counts": count(checks), "version": version}


def _diagnose(module, wanted, side):
    """keadm's findings (or the reason for which there are none), and the settings that it read."""
    if not os.access(wanted["keadm"], os.X_OK):
        return Unknown(NOT_INSTALLED), Unknown(NOT_INSTALLED)
    arguments = ["diagnose", "node" if side == "edge" else "cloud"]
    if side == "edge" and wanted["node_name"]:
        arguments += ["--node", wanted["node_name"]]
    if side == "cloud":
        arguments += ["--kube-config", wanted["kubeconfig"], "--certport", str(wanted["https_port"])]
        arguments += [word for address in wanted["cloud_addresses"] for word in ("--address", address)]
        arguments += [word for name in wanted["nodes"] for word in ("--node", name)]
        arguments += [] if wanted["cluster"] else ["--no-cluster"]
    try:
        answer = ask(module, arguments)
    except KeadmError as error:
        older = "No such command" in str(error)
        reason = Unknown(OLDER_KEADM if older else redacted(error))
        return reason, reason
    return answer["checks"], answer.get("settings") or Unknown("the configuration cannot be read")


def _of_keadm(code, told):
    if isinstance(told, Unknown):
        return [{"code": code, "status": UNKNOWN, "found": str(told), "fix": "", "subject": ""}]
    return [
        {key: redacted(one[key]) for key in ("code", "status", "subject", "found", "fix")}
        for one in told
        if one["code"] == code
    ]
