"""The mesh that `edgelab_mesh` installs: a Service by its name on the edge, with the cloud and without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.lab import Lab, eventually

URL = "http://nginx-svc.default.svc.cluster.local:18050"
UNIT = "edgemesh-agent.service"
FILES = (
    f"/etc/systemd/system/{UNIT}",
    "/etc/default/edgemesh-agent",
    "/etc/kubeedge/config/edgemesh-agent.yaml",
)
OBJECTS = """
apiVersion: v1
kind: Pod
metadata: {name: mesh-client}
spec:
  nodeName: edge1
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "edgelab.local/busybox:1.35", command: [sleep, "100000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: nginx-svc}
spec:
  selector: {app: nginx}
  ports: [{port: 18050, targetPort: 80}]
"""


@pytest.fixture(scope="module")
def mesh(lab: Lab) -> Iterator[Lab]:
    """The lab with a mesh and a Service of the nginx demo; afterwards without, as before."""
    with lab.saved():
        try:
            recap = lab.play("-e", "edgelab_mesh=true", "--tags", "cloudcore,edgecore,edgemesh")
            assert (recap.failed, recap.unreachable) == (0, 0)
            with lab.objects(OBJECTS):
                yield lab
        finally:
            lab.host("edge1", "systemctl", "disable", "--now", UNIT, check=False)
            lab.host("edge1", "rm", "-f", *FILES)
            lab.host("edge1", "systemctl", "daemon-reload")


def page(lab: Lab) -> str:
    """What curl gets on the host."""
    return lab.host("edge1", "curl", "-sS", "--max-time", "5", URL, check=False)


def page_in_pod(lab: Lab) -> str:
    """What a pod gets; asked by keadm, which needs no cloud."""
    asked = ("timeout", "5", "wget", "-q", "-O", "-", URL)
    return lab.host("edge1", "keadm", "ctl", "exec", "mesh-client", "--", *asked, check=False)


def serves(lab: Lab) -> None:
    """The Service answers both."""
    eventually(lambda: "Welcome to nginx!" in page(lab), f"{URL} on the host", 40)
    eventually(lambda: "Welcome to nginx!" in page_in_pod(lab), f"{URL} in a pod", 40)


def traces(lab: Lab) -> str:
    """Where a mesh shows on the host: links, routes, rules, name servers."""
    script = "ip -o link | cut -d: -f2; ip -4 route show table all; nft list tables; cat /etc/resolv.conf"
    return lab.host("edge1", "sh", "-c", script)


def test_a_service_answers_by_its_name_on_the_host_and_in_a_pod(mesh: Lab) -> None:
    serves(mesh)


def test_it_answers_without_the_cloud_also_when_it_starts_anew(mesh: Lab) -> None:
    with mesh.unplugged("edge1"):
        serves(mesh)
        mesh.host("edge1", "systemctl", "restart", UNIT)
        serves(mesh)


def test_everything_is_gone_when_it_stops(mesh: Lab) -> None:
    address = mesh.get("service", "nginx-svc")["spec"]["clusterIP"]
    words = ("edgemesh", "169.254.96.16", address)
    assert all(word in traces(mesh) for word in words)
    mesh.host("edge1", "systemctl", "stop", UNIT)
    left = traces(mesh)
    assert not [word for word in words if word in left], left
    assert "Could not resolve host" in page(mesh)
