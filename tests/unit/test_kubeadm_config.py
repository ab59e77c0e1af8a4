"""What role kubeadm writes for kubeadm, by inventory, against a schema of our own (kubeadm_schema.py).

The documents are rendered by Ansible itself, with the role's own files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.kubeadm_schema import problems
from tests.unit.module_harness import CHECKOUT

THREE = {f"cloud{n}": f"10.0.0.{n}" for n in (1, 2, 3)}
INVENTORIES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, Any]]] = {
    "single": ({"cloud1": "10.0.0.1"}, {}, {"kubeadm_untaint": True}),
    "single-v1beta3": ({"cloud1": "10.0.0.1"}, {"worker1": "10.0.0.9"}, {"kubeadm_version": "1.30.4"}),
    "ha-kube-vip": (THREE, {"worker1": "10.0.0.9"}, {"kubeadm_control_plane_vip": "10.0.0.100"}),
    "ha-given-vip": (
        THREE,
        {},
        {
            "kubeadm_control_plane_vip": "10.0.0.200",
            "kubeadm_vip_provider": "external",
            "kubeadm_api_names": ["api.example.org"],
            "kubeadm_api_server_arguments": {"audit-log-maxage": 7},
        },
    ),
    "docker": ({"cloud1": "10.0.0.1"}, {}, {"kubeadm_runtime": "docker", "kubeadm_cgroup_driver": "systemd"}),
    "airgap": (
        {"cloud1": "10.0.0.1"},
        {},
        {
            "kubeadm_image_source": "archives",
            "kubeadm_image_repository": "registry.example.org/k8s",
            "kubeadm_ignore_preflight_errors": ["SystemVerification"],
            "kubeadm_kubelet_settings": {"failSwapOn": False},
        },
    ),
}
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "edgelab.kubeedge.kubeadm",
                    "tasks_from": "render.yml",
                    "rolespec_validate": False,
                }
            }
        ],
    }
]
DIRECTORY = os.environ.get("EDGELAB_KUBEADM_DOCUMENTS")
"""Where the documents stay, for a real kubeadm to look at; a temporary directory without it."""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = Path(DIRECTORY) if DIRECTORY else tmp_path_factory.mktemp("kubeadm")

    @cache
    def render(name: str) -> dict[str, list[dict[str, Any]]]:
        """The documents of an inventory, by file."""
        control_planes, workers, variables = INVENTORIES[name]
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        hosts = {
            host: {"edgelab_node_ip": address, "ansible_connection": "local"}
            for host, address in (control_planes | workers).items()
        }
        inventory = {
            "all": {
                "hosts": hosts,
                "vars": {
                    "kubeadm_config_dir": str(folder),
                    "ansible_python_interpreter": sys.executable,
                    **variables,
                },
                "children": {
                    "cloud": {"hosts": {host: {} for host in control_planes}},
                    "workers": {"hosts": {host: {} for host in workers}},
                },
            }
        }
        (folder / "inventory.json").write_text(json.dumps(inventory))
        (folder / "play.json").write_text(json.dumps(PLAY))
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                *("-i", folder / "inventory.json", folder / "play.json"),
            ],
            cwd=CHECKOUT,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        files = {path.name: path.read_text() for path in folder.glob("*.yaml")}
        # To kubeadm a part with nothing but a comment is a document without a kind; yaml reads null.
        return {file: [one or {} for one in yaml.safe_load_all(text)] for file, text in files.items()}

    return render


def by_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [one for one in documents if one["kind"] == kind]
    return found


@pytest.mark.parametrize("name", INVENTORIES)
def test_the_documents_fit_the_schema(rendered: Any, name: str) -> None:
    files = rendered(name)
    control_planes, workers, variables = INVENTORIES[name]
    first, *others = control_planes
    wanted = {f"{first}-init.yaml", *(f"{host}-join.yaml" for host in [*others, *workers])}
    assert {file for file in files if "kube-vip" not in file} == wanted
    api = f"kubeadm.k8s.io/{'v1beta3' if variables.get('kubeadm_version') == '1.30.4' else 'v1beta4'}"
    for file in wanted:
        assert problems(files[file], api) == [], file
    kinds = [one["kind"] for one in files[f"{first}-init.yaml"]]
    assert kinds == [
        "InitConfiguration",
        "ClusterConfiguration",
        "KubeletConfiguration",
        "KubeProxyConfiguration",
    ]


def test_the_schema_refuses_what_the_other_version_says(rendered: Any) -> None:
    documents = rendered("single")["cloud1-init.yaml"]
    assert any("extraArgs" in problem for problem in problems(documents, "kubeadm.k8s.io/v1beta3"))
    documents[1]["apiServer"]["certSans"] = []
    assert any("certSans" in problem for problem in problems(documents, "kubeadm.k8s.io/v1beta4"))


def test_each_node_registers_with_its_own_name_and_address(rendered: Any) -> None:
    files = rendered("ha-kube-vip")
    for host, address in {"cloud2": "10.0.0.2", "worker1": "10.0.0.9"}.items():
        registration = by_kind(files[f"{host}-join.yaml"], "JoinConfiguration")["nodeRegistration"]
        assert registration["name"] == host
        assert registration["kubeletExtraArgs"] == [{"name": "node-ip", "value": address}]
    old = by_kind(rendered("single-v1beta3")["cloud1-init.yaml"], "InitConfiguration")
    assert old["nodeRegistration"]["kubeletExtraArgs"] == {"node-ip": "10.0.0.1"}


def test_only_control_planes_join_as_such(rendered: Any) -> None:
    files = rendered("ha-kube-vip")
    assert "controlPlane" in files["cloud3-join.yaml"][0]
    assert "controlPlane" not in files["worker1-join.yaml"][0]


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("single", "10.0.0.1:6443"),
        ("ha-kube-vip", "10.0.0.100:6443"),
        ("ha-given-vip", "10.0.0.200:6443"),
    ],
)
def test_the_endpoint_and_the_certificate_follow_the_inventory(
    rendered: Any, name: str, endpoint: str
) -> None:
    cluster = by_kind(rendered(name)["cloud1-init.yaml"], "ClusterConfiguration")
    assert cluster["controlPlaneEndpoint"] == endpoint
    control_planes, _, variables = INVENTORIES[name]
    names = {*control_planes, *control_planes.values(), endpoint.partition(":")[0]}
    assert names | set(variables.get("kubeadm_api_names", [])) <= set(cluster["apiServer"]["certSANs"])


def test_kube_vip_runs_on_control_planes_and_only_where_it_is_asked_for(rendered: Any) -> None:
    pods = {file: one for file, one in rendered("ha-kube-vip").items() if "kube-vip" in file}
    assert sorted(pods) == [f"{host}-kube-vip.yaml" for host in sorted(THREE)]
    [pod] = pods["cloud1-kube-vip.yaml"]
    [container] = pod["spec"]["containers"]
    assert ":v" in container["image"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert (environment["address"], environment["cp_enable"]) == ("10.0.0.100", "true")
    assert [file for file in rendered("ha-given-vip") if "kube-vip" in file] == []


def test_the_socket_and_the_cgroup_driver_are_those_of_the_runtime(rendered: Any) -> None:
    docker = rendered("docker")["cloud1-init.yaml"]
    socket = by_kind(docker, "InitConfiguration")["nodeRegistration"]["criSocket"]
    assert socket == "unix:///run/cri-dockerd.sock"
    assert by_kind(docker, "KubeletConfiguration")["cgroupDriver"] == "systemd"


def test_an_air_gapped_node_pulls_nothing(rendered: Any) -> None:
    documents = rendered("airgap")["cloud1-init.yaml"]
    registration = by_kind(documents, "InitConfiguration")["nodeRegistration"]
    assert registration["imagePullPolicy"] == "Never"
    assert registration["ignorePreflightErrors"] == ["SystemVerification"]
    assert by_kind(documents, "KubeletConfiguration")["failSwapOn"] is False


def test_a_control_plane_keeps_its_taint_unless_it_is_asked_for_workloads(rendered: Any) -> None:
    untainted = by_kind(rendered("single")["cloud1-init.yaml"], "InitConfiguration")
    assert untainted["nodeRegistration"]["taints"] == []
    kept = by_kind(rendered("docker")["cloud1-init.yaml"], "InitConfiguration")
    assert "taints" not in kept["nodeRegistration"]


def play(name: str) -> None:
    """Run a playbook of assertions over the role's own variables."""
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            *("-i", "localhost,", "-c", "local", "-e", f"role={CHECKOUT / 'roles' / 'kubeadm'}"),
            Path(__file__).parent / "kubeadm_data" / name,
        ],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_packages_manifests_and_files_of_a_host_are_read_as_they_are() -> None:
    play("found.yml")


def test_the_package_source_and_its_pins_name_one_release_and_one_key() -> None:
    play("source.yml")


def test_a_host_makes_a_cluster_only_where_no_other_has_one() -> None:
    play("founding.yml")


def test_a_reset_takes_the_clusters_rules_and_links_and_no_others() -> None:
    play("left_over.yml")
