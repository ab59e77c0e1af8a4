# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""What role mapper does for the mappers of a host, with every mistake named before the host is touched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: mapper_plans
short_description: Units, configurations and pods of a host's mappers
version_added: 1.0.0
author: edgelab contributors (@edgelab)
description:
  - Checks C(mapper_instances) of role C(mapper) and says what each of them takes. No host is asked anything.
options:
  _input:
    description: The list as the role takes it.
    type: list
    elements: dict
    required: true
  dmi:
    description: The directory of EdgeCore's socket for mappers.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Name the units
  ansible.builtin.debug:
    msg: "{{ _plans.services | map(attribute='unit') }}"
  vars:
    _plans: "{{ mapper_instances | edgelab.kubeedge.mapper_plans('/run/edgelab-dmi') }}"
"""

RETURN = r"""
_value:
  description:
    - C(services) and C(pods), a mapping without secrets for each mapper.
    - C(absent) and C(absent_pods), names of those to remove.
    - C(configs) and C(secrets) by name are what nobody shall see.
  type: dict
"""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""A DNS label, short enough that systemd takes it for a user's name with `edgelab-mapper-` before it."""
CREDENTIAL = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")
DEVICE = re.compile(r"/dev/[^\s%]+|char-[^\s%]+")
"""As systemd's DeviceAllow= takes it."""
BIN = "/opt/edgelab/current/bin"
PROGRAMS = ("virtual", "modbus", "opcua")
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - refused, not used
"""What a unit with ProtectHome= and PrivateTmp= does not see."""
KEYS = {
    *("name", "state", "mode", "program", "protocol", "http_port", "settings", "credentials"),
    *("environment_files", "serial_devices", "memory_high"),
}
FOR_SERVICES = ("environment_files", "serial_devices", "memory_high")
EXTRAS = {"modbus": ["modbus"], "opcua": ["opcua"]}
"""What programs of the runtime need of C(python_runtime_extras)."""
PUSHES = {"http", "otel", "dbMethod"}
"""Push methods that need the extra C(push): each but MQTT (docs/reference/push.md)."""
PARTS = ("grpc_server", "common", "mqtt")
LAST_PORT = 65535
POD_FILES = "/etc/edgelab-mapper"
"""Where a pod finds its configuration and its credentials."""
OWN_CONFIG = "config.yaml"


def mapper_plans(instances: Sequence[Mapping[str, Any]], dmi: str) -> dict[str, Any]:
    """What there is to do; AnsibleFilterError names all mistakes at once."""
    problems: list[str] = []
    result: dict[str, Any] = {key: [] for key in ("services", "pods", "absent", "absent_pods")}
    result |= {"configs": {}, "secrets": {}}
    for number, instance in enumerate(instances):
        name = str(instance.get("name", ""))
        wrong = _mistakes(instance)
        where = f"mapper_instances[{number}]" + (f" ({name})" if name else "")
        problems += [f"{where}: {text}" for text in wrong]
        if wrong:
            continue
        if instance.get("state", "present") == "absent":
            result["absent_pods" if instance.get("mode") == "pod" else "absent"].append(name)
            continue
        plan, config = _plan(instance, dmi)
        result["pods" if plan["mode"] == "pod" else "services"].append(plan)
        result["configs"][name] = config
        result["secrets"][name] = {
            key: str(text) for key, text in (instance.get("credentials") or {}).items()
        }
    problems += _clashes(result)
    if problems:
        raise AnsibleFilterError("; ".join(problems))
    return result


def _mistakes(instance: Mapping[str, Any]) -> list[str]:
    found = [f"{key} is not known" for key in sorted(set(instance) - KEYS)]
    if not NAME.fullmatch(str(instance.get("name", ""))):
        found.append("name: expected up to 40 lower-case letters, digits and hyphens")
    for key, choices in (("state", ("present", "absent")), ("mode", ("service", "pod"))):
        if instance.get(key, choices[0]) not in choices:
            found.append(f"{key}: expected {' or '.join(choices)}")
    if instance.get("state", "present") == "absent":
        return found
    found += _program_mistakes(instance)
    for key in instance.get("credentials") or {}:
        if not CREDENTIAL.fullmatch(str(key)) or key == OWN_CONFIG:
            found.append(f"credentials: {key!r} is no name of a file")
    for device in instance.get("serial_devices") or ():
        if not DEVICE.fullmatch(str(device)):
            found.append(f"serial_devices: {device!r}: expected /dev/... or char-...")
    for path in instance.get("environment_files") or ():
        if not str(path).startswith("/") or re.search(r"[\s%]", str(path)):
            found.append(f"environment_files: {path!r}: expected an absolute path")
    return found + _settings_mistakes(instance)


def _settings_mistakes(instance: Mapping[str, Any]) -> list[str]:
    settings = instance.get("settings") or {}
    parts = [settings]
    if isinstance(settings, Mapping):
        parts += [settings.get(key) or {} for key in PARTS]
    if not all(isinstance(part, Mapping) for part in parts):
        return [f"settings: expected the rest of config.yaml; it and {', '.join(PARTS)} are mappings"]
    ports = [place["http_port"] for place in (instance, settings.get("common") or {}) if "http_port" in place]
    return [
        f"http_port: {port!r}: expected a port, or 0 for none"
        for port in ports
        if not re.fullmatch(r"\d{1,5}", str(port)) or int(port) > LAST_PORT
    ]


def _program_mistakes(instance: Mapping[str, Any]) -> list[str]:
    program, is_pod = str(instance.get("program", "virtual")), instance.get("mode") == "pod"
    found = []
    if program not in PROGRAMS and not re.fullmatch(r"/[^\s%$\\\"']+", program):
        found.append(f"program: expected {', '.join(PROGRAMS)} or an absolute path")
    if program.startswith(HIDDEN):
        found.append(f"program: the service does not see {program}; put it below /usr/local or /opt")
    if is_pod and program.startswith("/"):
        found.append("program: the image has those of the runtime only")
    if is_pod:
        found += [f"{key}: for services only" for key in FOR_SERVICES if instance.get(key)]
    return found


def _plan(instance: Mapping[str, Any], dmi: str) -> tuple[dict[str, Any], dict[str, Any]]:
    name, mode = str(instance["name"]), str(instance.get("mode", "service"))
    program, credentials = str(instance.get("program", "virtual")), sorted(instance.get("credentials") or {})
    config = _config(instance, dmi)
    common = config["common"]
    host = "127.0.0.1" if common["address"] in ("", "0.0.0.0", "::") else common["address"]  # noqa: S104 - a reader
    port = common["http_port"]
    plan = {
        "name": name,
        "mode": mode,
        "unit": f"edgelab-mapper-{name}.service",
        "program": program,
        "command": _command(program),
        "module": f"edgelab.mappers.{program}",
        "protocol": common.get("protocol") or ("" if program.startswith("/") else program),
        "port": port,
        "ping": f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1/ping" if port else "",
        "dmi": not config.get("mqtt"),
        "extras": EXTRAS.get(program, []) + (["push"] if _pushes(config.get("devices")) else []),
        "credentials": credentials,
        **{key: instance.get(key) or () for key in ("environment_files", "serial_devices")},
        "memory_high": str(instance.get("memory_high") or ""),
    }
    return plan, config


def _command(program: str) -> list[str]:
    if program in PROGRAMS:
        return [f"{BIN}/edgelab-{program}-mapper"]
    return [f"{BIN}/python", program] if program.endswith(".py") else [program]


def _config(instance: Mapping[str, Any], dmi: str) -> dict[str, Any]:
    """The mapper's config.yaml. What `settings` says goes before what follows from the instance."""
    name, is_pod = str(instance["name"]), instance.get("mode") == "pod"
    settings = dict(instance.get("settings") or {})
    own = f"{dmi}/{name}.sock" if is_pod else f"/run/edgelab-mapper-{name}/mapper.sock"
    files = POD_FILES if is_pod else f"/run/credentials/edgelab-mapper-{name}.service"
    common: dict[str, Any] = {
        "name": name,
        "address": "0.0.0.0" if is_pod else "127.0.0.1",  # noqa: S104 - a pod's address is not known before
        "http_port": int(instance.get("http_port", 7777)),
        "edgecore_sock": str(PurePosixPath(dmi, "dmi.sock")),
    }
    if instance.get("protocol"):
        common["protocol"] = str(instance["protocol"])
    common |= settings.pop("common", None) or {}
    common["http_port"] = int(common["http_port"])
    server = {"socket_path": own, **(settings.pop("grpc_server", None) or {})}
    config = {"grpc_server": server, "common": common}
    if settings.get("mqtt") and "mqtt" in (instance.get("credentials") or {}):
        settings["mqtt"] = {"password_file": f"{files}/mqtt", **settings["mqtt"]}
    return {**config, **settings}


def _pushes(devices: Any) -> bool:
    """Whether a property of one of the documents has its samples sent where a library is needed."""
    specs = [device.get("spec") or {} for device in devices or () if isinstance(device, Mapping)]
    properties = [
        prop for spec in specs for prop in spec.get("properties") or () if isinstance(prop, Mapping)
    ]
    return any(PUSHES & set(prop.get("pushMethod") or ()) for prop in properties)


def _clashes(result: Mapping[str, Any]) -> list[str]:
    """What two mappers of a host cannot both have."""
    services, plans = result["services"], [*result["services"], *result["pods"]]
    names = Counter([*(plan["name"] for plan in plans), *result["absent"], *result["absent_pods"]])
    ports = Counter(plan["port"] for plan in services if plan["port"])
    protocols = Counter(plan["protocol"] for plan in plans if plan["dmi"] and plan["protocol"])
    found = [f"mapper_instances: {name} is there {count} times" for name, count in names.items() if count > 1]
    found += [f"http_port: {count} mappers want {port}" for port, count in ports.items() if count > 1]
    found += [
        f"protocol: {count} mappers want {protocol}, and EdgeCore has one for each"
        for protocol, count in protocols.items()
        if count > 1
    ]
    return found


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Filters by name."""
        return {"mapper_plans": mapper_plans}
