"""containerd on a fresh host: it serves CRI, has the images, and runs a container on the pod network."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

IMAGES = ("edgelab.local/pause:3.9", "edgelab.local/busybox:1.35", "edgelab.local/nginx:1.22")
MIRRORS = "/etc/edgelab/registries"
NETWORKED = "ctr -n k8s.io run --rm --cni edgelab.local/busybox:1.35 probe busybox"


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("containerd")
    assert service.is_running
    assert service.is_enabled


def test_only_root_reaches_the_socket(host: Host) -> None:
    socket = host.file("/run/containerd/containerd.sock")
    assert socket.is_socket
    assert (socket.user, socket.mode & 0o007) == ("root", 0)


@pytest.mark.parametrize("image", IMAGES)
def test_the_images_are_there_without_a_registry(host: Host, image: str) -> None:
    assert image in host.check_output("ctr -n k8s.io images list -q").splitlines()


def test_the_cri_plugin_works(host: Host) -> None:
    plugins = host.check_output("ctr plugins list")
    states = {line.split()[1]: line.split()[-1] for line in plugins.splitlines() if "grpc" in line}
    assert states["cri"] == "ok"


def test_the_sandbox_image_is_one_that_is_there(host: Host) -> None:
    config = host.check_output("containerd config dump")
    line = next(line for line in config.splitlines() if "sandbox_image" in line)
    assert "edgelab.local/pause:3.9" in line


def test_the_cgroup_driver_is_what_the_host_can_do(host: Host) -> None:
    unified = host.check_output("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    config = host.check_output("containerd config dump")
    driver = next(line.split("=")[1].strip() for line in config.splitlines() if "SystemdCgroup" in line)
    assert driver == str(unified).lower()


def test_a_container_runs_and_gets_an_address_of_the_pod_network(host: Host) -> None:
    configurations = host.file("/etc/cni/net.d").listdir()
    assert configurations
    shown = host.check_output(f"{NETWORKED} ip -4 -o addr show dev eth0")
    assert " inet " in shown


def test_nothing_of_a_container_is_left_when_it_ended(host: Host) -> None:
    assert host.check_output(f"{NETWORKED} true") == ""
    assert host.check_output("ctr -n k8s.io containers list -q") == ""
    links = json.loads(host.check_output("ip -json link"))
    assert [link["ifname"] for link in links if link["ifname"].startswith("veth")] == []


def test_an_image_of_a_registry_comes_from_its_mirror(host: Host) -> None:
    there, wanted = "127.0.0.1:5000/library/mirrored:1", "docker.io/library/mirrored:1"
    host.check_output(f"ctr -n k8s.io images tag --force edgelab.local/busybox:1.35 {there}")
    host.check_output(f"ctr -n k8s.io images push --plain-http --user mirror:mirror-password {there}")
    pulled = host.run(f"ctr -n pulled images pull --hosts-dir {MIRRORS} {wanted}")
    assert pulled.rc == 0, pulled.stderr
    assert wanted in host.check_output("ctr -n pulled images list -q").splitlines()
    absent = host.run(f"ctr -n pulled images pull --hosts-dir {MIRRORS} docker.io/library/absent:1")
    assert "127.0.0.1:5000" in absent.stderr


def test_the_runtime_reads_the_mirrors_after_what_the_owner_set(host: Host) -> None:
    config = host.check_output("containerd config dump")
    path = next(line.split("=")[1].strip(' "') for line in config.splitlines() if "config_path" in line)
    assert path == f"/etc/containerd/certs.d:{MIRRORS}"


def test_only_root_reads_the_password_of_the_mirrors(host: Host) -> None:
    assert host.file(f"{MIRRORS}/docker.io/hosts.toml").mode == 0o600
