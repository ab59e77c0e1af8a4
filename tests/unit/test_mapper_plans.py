"""The filter mapper_plans: what role mapper does for a list of mappers, and which lists it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.edgelab.kubeedge.plugins.filter.mapper_plans import mapper_plans

DMI = "/run/edgelab-dmi"


def plan(**instance: Any) -> dict[str, Any]:
    return mapper_plans([{"name": "m", **instance}], DMI)


def test_a_name_is_enough() -> None:
    result = plan()
    [service] = result["services"]
    assert service["unit"] == "edgelab-mapper-m.service"
    assert service["command"] == ["/opt/edgelab/current/bin/edgelab-virtual-mapper"]
    assert (service["dmi"], service["ping"]) == (True, "http://127.0.0.1:7777/api/v1/ping")
    assert result["configs"]["m"] == {
        "grpc_server": {"socket_path": "/run/edgelab-mapper-m/mapper.sock"},
        "common": {
            "name": "m",
            "address": "127.0.0.1",
            "http_port": 7777,
            "edgecore_sock": "/run/edgelab-dmi/dmi.sock",
        },
    }


def test_settings_go_before_what_follows_from_the_instance() -> None:
    settings = {"common": {"address": "::", "http_port": "8000", "name": "x"}, "devices": [1]}
    result = plan(settings=settings, protocol="p", http_port=7801)
    config = result["configs"]["m"]
    assert (config["common"]["name"], config["common"]["protocol"], config["devices"]) == ("x", "p", [1])
    assert result["services"][0]["ping"] == "http://127.0.0.1:8000/api/v1/ping"
    assert settings["devices"] == [1], "what was given is left as it was"


def test_programs_of_ones_own_run_as_they_are_or_with_the_runtimes_python() -> None:
    assert plan(program="/opt/x/mapper")["services"][0]["command"] == ["/opt/x/mapper"]
    python = "/opt/edgelab/current/bin/python"
    assert plan(program="/opt/x/mapper.py")["services"][0]["command"] == [python, "/opt/x/mapper.py"]


def test_secrets_are_kept_apart_and_that_of_the_broker_is_named_in_the_settings() -> None:
    result = plan(credentials={"mqtt": "open", "seed": 7}, settings={"mqtt": {"address": "tcp://b:1883"}})
    [service] = result["services"]
    assert (service["dmi"], service["credentials"]) == (False, ["mqtt", "seed"])
    assert result["secrets"] == {"m": {"mqtt": "open", "seed": "7"}}
    file = "/run/credentials/edgelab-mapper-m.service/mqtt"
    assert result["configs"]["m"]["mqtt"] == {"address": "tcp://b:1883", "password_file": file}
    own = {"mqtt": {"address": "tcp://b:1883", "password_file": "/x"}}
    assert plan(credentials={"mqtt": "open"}, settings=own)["configs"]["m"]["mqtt"]["password_file"] == "/x"


def test_a_pod_has_its_socket_beside_edgecores_and_listens_for_the_node() -> None:
    result = plan(mode="pod", program="modbus", credentials={"mqtt": "open"})
    [pod] = result["pods"]
    assert (pod["module"], result["services"]) == ("edgelab.mappers.modbus", [])
    config = result["configs"]["m"]
    assert config["grpc_server"]["socket_path"] == f"{DMI}/m.sock"
    assert config["common"]["address"] == "0.0.0.0"
    assert plan(mode="pod", state="absent")["absent_pods"] == ["m"]
    over = plan(mode="pod", credentials={"mqtt": "x"}, settings={"mqtt": {"address": "tcp://b:1"}})
    assert over["configs"]["m"]["mqtt"]["password_file"] == "/etc/edgelab-mapper/mqtt"


def test_pods_may_have_one_port_each_and_services_not() -> None:
    pods = [{"name": name, "mode": "pod", "protocol": name} for name in "ab"]
    assert [pod["port"] for pod in mapper_plans(pods, DMI)["pods"]] == [7777, 7777]


def test_what_a_mapper_needs_of_the_runtime_follows_from_its_program_and_its_devices() -> None:
    def extras(method: dict[str, Any] | None = None, **instance: Any) -> Any:
        prop = {"name": "p", **({"pushMethod": method} if method else {})}
        settings = {"mqtt": {"address": "tcp://b:1883"}, "devices": [{"spec": {"properties": [prop]}}, {}, 1]}
        return plan(settings=settings, **instance)["services"][0]["extras"]

    assert [extras(program=name) for name in ("virtual", "modbus", "opcua")] == [[], ["modbus"], ["opcua"]]
    assert extras({"dbMethod": {"redis": {}}}, program="modbus") == ["modbus", "push"]
    assert (extras({"http": {}}), extras({"otel": {}}), extras({"mqtt": {}})) == (["push"], ["push"], [])
    assert extras({"http": {}}, program="/opt/x/mapper.py") == ["push"]


def test_what_is_absent_needs_a_name_only() -> None:
    result = plan(state="absent", program="no longer known")
    assert (result["absent"], result["services"], result["configs"]) == (["m"], [], {})


@pytest.mark.parametrize(
    ("instance", "told"),
    [
        ({"name": "A"}, "name: expected"),
        ({"name": "x" * 41}, "name: expected"),
        ({"state": "gone"}, "state: expected present or absent"),
        ({"porgram": "virtual"}, "porgram is not known"),
        ({"program": "bacnet"}, "program: expected virtual, modbus, opcua or an absolute path"),
        ({"program": "/opt/a b"}, "program: expected"),
        ({"program": "/home/me/x.py"}, "does not see /home/me/x.py"),
        ({"credentials": {"../x": "y"}}, "credentials: '../x'"),
        ({"credentials": {"config.yaml": "y"}}, "credentials: 'config.yaml'"),
        ({"serial_devices": ["ttyUSB0"]}, "serial_devices: 'ttyUSB0'"),
        ({"environment_files": ["x"]}, "environment_files: 'x'"),
        ({"settings": {"common": [1]}}, "settings: expected"),
        ({"mode": "pod", "program": "/opt/x"}, "the image has those of the runtime only"),
        ({"mode": "pod", "serial_devices": ["/dev/ttyS0"]}, "serial_devices: for services only"),
        ({"http_port": 65536}, "expected a port, or 0"),
        ({"http_port": "x"}, "expected a port, or 0"),
    ],
)
def test_a_mistake_names_the_mapper_and_the_field(instance: dict[str, Any], told: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plan(**instance)
    assert told in str(caught.value)
    assert "m" in str(caught.value) or instance["name"] in str(caught.value)


def test_what_two_mappers_cannot_both_have_is_told_at_once() -> None:
    instances = [
        {"name": "a"},
        {"name": "a", "http_port": 1},
        {"name": "b", "http_port": 1, "program": "modbus"},
    ]
    with pytest.raises(AnsibleFilterError) as caught:
        mapper_plans(instances, DMI)
    assert "a is there 2 times" in str(caught.value)
    assert "2 mappers want 1;" in str(caught.value)
    assert "2 mappers want virtual, and EdgeCore has one for each" in str(caught.value)


def test_mappers_over_mqtt_may_serve_one_protocol_and_none_needs_a_port() -> None:
    settings = {"mqtt": {"address": "tcp://b:1883"}}
    both = [{"name": name, "http_port": 0, "settings": settings} for name in "ab"]
    assert [service["ping"] for service in mapper_plans(both, DMI)["services"]] == ["", ""]
