"""Docker on a fresh host: it answers, runs containers with limited logs, and leaves the pods of CNI alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

IMAGES = ("edgelab.local/pause:3.9", "edgelab.local/busybox:1.35", "edgelab.local/nginx:1.22")
CHAIN = "iptables --wait 10 -S DOCKER-USER"


def engine(host: Host, path: str) -> Any:
    return json.loads(host.check_output(f"curl -sf --unix-socket /run/docker.sock http://localhost{path}"))


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("docker")
    assert service.is_running
    assert service.is_enabled


def test_only_root_and_its_group_reach_the_socket(host: Host) -> None:
    socket = host.file("/run/docker.sock")
    assert socket.is_socket
    assert (socket.user, socket.group, socket.mode & 0o007) == ("root", "docker", 0)


@pytest.mark.parametrize("image", IMAGES)
def test_the_images_are_there_without_a_registry(host: Host, image: str) -> None:
    tags = [tag for entry in engine(host, "/images/json") for tag in entry["RepoTags"] or []]
    assert image in tags


def test_the_cgroup_driver_is_what_the_host_can_do(host: Host) -> None:
    unified = host.check_output("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert engine(host, "/info")["CgroupDriver"] == ("systemd" if unified else "cgroupfs")


def test_a_container_runs_and_its_log_is_limited(host: Host) -> None:
    said = host.check_output("docker run --name probe edgelab.local/busybox:1.35 busybox echo hello")
    try:
        log = engine(host, "/containers/probe/json")["HostConfig"]["LogConfig"]
    finally:
        host.check_output("docker rm --force probe")
    assert said == "hello"
    assert log == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_containers_go_on_while_docker_restarts(host: Host) -> None:
    host.check_output("docker run --detach --name lasting edgelab.local/busybox:1.35 busybox sleep 120")
    try:
        before = engine(host, "/containers/lasting/json")["State"]["Pid"]
        host.check_output("systemctl restart docker.service")
        after = engine(host, "/containers/lasting/json")["State"]
    finally:
        host.check_output("docker rm --force lasting")
    assert (after["Running"], after["Pid"]) == (True, before)


def test_the_pods_are_allowed_before_docker_returns_to_its_own_rules(host: Host) -> None:
    rules = host.check_output(CHAIN).splitlines()
    assert rules.index("-A DOCKER-USER -s 10.244.0.0/16 -j ACCEPT") < rules.index("-A DOCKER-USER -j RETURN")
    assert "-A DOCKER-USER -d 10.244.0.0/16 -j ACCEPT" in rules


def test_a_restart_adds_no_rule_twice(host: Host) -> None:
    before = host.check_output(CHAIN)
    host.check_output("systemctl restart docker.service")
    assert host.check_output(CHAIN) == before


def test_a_pod_of_containerd_still_reaches_the_world_beyond_its_host(host: Host) -> None:
    # Docker sets this policy where it had to switch forwarding on itself; role host was there before it.
    host.check_output("iptables --wait 10 --policy FORWARD DROP")
    try:
        gateway = host.check_output("ip -4 route show default").split()[2]
        ping = f"busybox ping -c 1 -W 5 {gateway}"
        shown = host.check_output(f"ctr -n k8s.io run --rm --cni edgelab.local/busybox:1.35 forwarded {ping}")
    finally:
        host.check_output("iptables --wait 10 --policy FORWARD ACCEPT")
    assert "1 packets received" in shown
