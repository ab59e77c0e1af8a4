"""DockerRuntime against a server that gives Docker's own answers (20.10, recorded), and its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.choice import connect, is_docker
from edgelab.cri.docker.execution import Output
from edgelab.cri.docker.images import split_reference
from edgelab.cri.docker.runtime import DockerRuntime
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.logs import Line, parse
from edgelab.cri.runtime import Runtime

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "docker-20.10.json").read_text())
UID = "11111111-2222-3333-4444-555555555555"
PAUSE = "edgelab.local/pause:3.9"
BUSYBOX = RECORDED["image"]["Id"]


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeDocker:
    """Answers `(status, body)` by "METHOD /path"; of a list the next one each time."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = head[0].split(" ")
        url = urlsplit(target)
        path = url.path.removeprefix("/v1.40")
        self.asked.append(
            Asked(method, path, parse_qs(url.query), headers, json.loads(body) if body else None)
        )
        missing = (404, {"message": f"no such thing: {path}"})
        found = self.answers.get(f"{method} {path}", missing)
        status, content = found.pop(0) if isinstance(found, list) else found
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        writer.close()

    def find(self, method: str, path: str) -> Asked:
        return next(asked for asked in self.asked if (asked.method, asked.path) == (method, path))


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[FakeDocker]:
    fake = FakeDocker()
    server = await asyncio.start_unix_server(fake.serve, str(path))
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def docker(tmp_path: Path) -> AsyncIterator[FakeDocker]:
    async with serving(tmp_path / "docker.sock") as fake:
        fake.answers["GET /version"] = (200, RECORDED["version"])
        fake.answers["GET /containers/json"] = (200, RECORDED["list"])
        fake.answers[f"GET /images/{BUSYBOX}/json"] = (200, RECORDED["image"])
        fake.answers[f"GET /images/{PAUSE}/json"] = (200, RECORDED["image"])
        for name in ("sandbox", "running", "broken", "exited"):
            found = RECORDED[name]
            fake.answers[f"GET /containers/{found['Id']}/json"] = (200, found)
        yield fake


@pytest.fixture
def runtime(tmp_path: Path) -> DockerRuntime:
    made = connect(f"unix://{tmp_path}/docker.sock", pause=PAUSE, deadline=2)
    assert isinstance(made, DockerRuntime)
    return made


def pod_config(**more: Any) -> pb.PodSandboxConfig:
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name="web-1", uid=UID, namespace="default", attempt=2),
        hostname="web-1",
        log_directory="/var/log/pods/p",
        labels={"app": "web"},
        annotations={"kubernetes.io/config.source": "api"},
        **more,
    )


async def test_a_socket_that_is_not_there_is_named(runtime: DockerRuntime) -> None:
    with pytest.raises(RuntimeUnreachable, match=r"docker\.sock does not exist \(is dockerd running\?\)"):
        await runtime.version()


async def test_who_chooses_docker(tmp_path: Path) -> None:
    assert is_docker("docker", "unix:///run/containerd/containerd.sock")
    assert is_docker("remote", "unix:///var/run/docker.sock")
    assert not is_docker("remote", "unix:///run/containerd/containerd.sock")
    default = connect("unix:///run/containerd/containerd.sock", kind="docker")
    assert isinstance(default, DockerRuntime)
    assert default._engine.path == "/var/run/docker.sock"
    plain = connect(f"unix://{tmp_path}/r.sock")
    assert type(plain) is Runtime


async def test_version_and_readiness(docker: FakeDocker, runtime: DockerRuntime) -> None:
    docker.answers["GET /info"] = (200, {"DockerRootDir": "/var/lib/docker", "CgroupDriver": "systemd"})
    version = await runtime.version()
    assert (version.runtime_name, version.runtime_version) == ("docker", "20.10.24+dfsg1")
    assert (await runtime.readiness()).problem == ""
    assert await runtime.cgroup_driver() == "systemd"


async def test_a_sandbox_is_a_pause_container_with_the_pods_network(
    docker: FakeDocker, runtime: DockerRuntime
) -> None:
    docker.answers["POST /containers/create"] = (201, {"Id": "s1", "Warnings": []})
    docker.answers["POST /containers/s1/start"] = (204, b"")
    config = pod_config(
        dns_config=pb.DNSConfig(servers=["10.0.0.10"], searches=["a.b"], options=["ndots:5"]),
        port_mappings=[
            pb.PortMapping(protocol=pb.TCP, container_port=80, host_port=8080, host_ip="127.0.0.1"),
            pb.PortMapping(protocol=pb.UDP, container_port=53),
        ],
        linux=pb.LinuxPodSandboxConfig(cgroup_parent="/kubepods/pod1", sysctls={"net.ipv4.ip_forward": "1"}),
    )
    assert await runtime.run_sandbox(config) == "s1"
    created = docker.find("POST", "/containers/create")
    assert created.query["name"] == [f"k8s_POD_web-1_default_{UID}_2"]
    body, host = created.body, created.body["HostConfig"]
    assert (body["Image"], body["Hostname"]) == (PAUSE, "web-1")
    assert body["Labels"] == {
        "app": "web",
        "annotation.kubernetes.io/config.source": "api",
        "io.kubernetes.docker.type": "podsandbox",
    }
    assert body["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert (host["Dns"], host["DnsSearch"], host["DnsOptions"]) == (["10.0.0.10"], ["a.b"], ["ndots:5"])
    assert (host["NetworkMode"], host["CgroupParent"]) == ("default", "/kubepods/pod1")
    assert host["Sysctls"] == {"net.ipv4.ip_forward": "1"}


async def test_the_hosts_namespaces_are_shared_when_the_pod_asks(
    docker: FakeDocker, runtime: DockerRuntime
) -> None:
    docker.answers["POST /containers/create"] = (201, {"Id": "s1"})
    docker.answers["POST /containers/s1/start"] = (204, b"")
    modes = pb.NamespaceOption(network=pb.NODE, pid=pb.NODE, ipc=pb.NODE)
    context = pb.LinuxSandboxSecurityContext(namespace_options=modes)
    await runtime.run_sandbox(pod_config(linux=pb.LinuxPodSandboxConfig(security_context=context)))
    host = docker.find("POST", "/containers/create").body["HostConfig"]
    assert (host["NetworkMode"], host["PidMode"], host["IpcMode"]) == ("host", "host", "host")


async def test_a_sandbox_that_does_not_start_is_removed(docker: FakeDocker, runtime: DockerRuntime) -> None:
    docker.answers["POST /containers/create"] = (201, {"Id": "s1"})
    docker.answers["POST /containers/s1/start"] = (500, {"message": "port is already allocated"})
    docker.answers["GET /containers/json"] = (200, [])
    with pytest.raises(CriError, match="port is already allocated"):
        await runtime.run_sandbox(pod_config())
    assert docker.find("DELETE", "/containers/s1").query["force"] == ["1"]


async def test_a_leftover_of_the_same_name_goes_first(docker: FakeDocker, runtime: DockerRuntime) -> None:
    name = f"k8s_POD_web-1_default_{UID}_2"
    conflict = {"message": f'Conflict. The container name "/{name}" is already in use by container "x".'}
    docker.answers["POST /containers/create"] = [(409, conflict), (201, {"Id": "s2"})]
    docker.answers["POST /containers/s2/start"] = (204, b"")
    docker.answers[f"DELETE /containers/{name}"] = (204, b"")
    assert await runtime.run_sandbox(pod_config()) == "s2"


async def test_a_container_joins_its_sandbox_with_limits_mounts_and_security(
    docker: FakeDocker, runtime: DockerRuntime
) -> None:
    docker.answers["POST /containers/create"] = (201, {"Id": "c1"})
    context = pb.LinuxContainerSecurityContext(
        run_as_user=pb.Int64Value(value=1000),
        run_as_group=pb.Int64Value(value=2000),
        no_new_privs=True,
        readonly_rootfs=True,
        capabilities=pb.Capability(add_capabilities=["NET_ADMIN"], drop_capabilities=["ALL"]),
        masked_paths=["/proc/kcore"],
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined),
        namespace_options=pb.NamespaceOption(pid=pb.POD),
    )
    limits = pb.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_quota=50000, cpu_period=100000)
    config = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name="main", attempt=3),
        image=pb.ImageSpec(image=BUSYBOX),
        command=["sh"],
        args=["-c", "true"],
        envs=[pb.KeyValue(key="A", value="b=c")],
        mounts=[
            pb.Mount(
                host_path="/h:x",
                container_path="/c",
                readonly=True,
                propagation=pb.PROPAGATION_HOST_TO_CONTAINER,
            )
        ],
        labels={"io.kubernetes.container.name": "main"},
        log_path="main/3.log",
        linux=pb.LinuxContainerConfig(resources=limits, security_context=context),
    )
    assert await runtime.create_container("s1", config, pod_config()) == "c1"
    created = docker.find("POST", "/containers/create")
    assert created.query["name"] == [f"k8s_main_web-1_default_{UID}_3"]
    body, host = created.body, created.body["HostConfig"]
    assert (body["Entrypoint"], body["Cmd"], body["Env"]) == (["sh"], ["-c", "true"], ["A=b=c"])
    assert body["User"] == "1000:2000"
    assert body["Labels"]["io.kubernetes.sandbox.id"] == "s1"
    assert body["Labels"]["io.kubernetes.container.logpath"] == "/var/log/pods/p/main/3.log"
    assert (host["NetworkMode"], host["IpcMode"], host["PidMode"]) == ("container:s1",) * 3
    assert (host["Memory"], host["MemorySwap"], host["CpuQuota"]) == (64 << 20, 64 << 20, 50000)
    assert host["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/h:x",
            "Target": "/c",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rslave"},
        }
    ]
    assert host["SecurityOpt"] == ["seccomp=unconfined", "no-new-privileges"]
    assert (host["CapAdd"], host["CapDrop"], host["ReadonlyRootfs"]) == (["NET_ADMIN"], ["ALL"], True)
    assert host["MaskedPaths"] == ["/proc/kcore"]
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": str(10 << 20), "max-file": "5"},
    }


async def test_lists_are_read_back_by_labels(docker: FakeDocker, runtime: DockerRuntime) -> None:
    containers = await runtime.list_containers({"io.kubernetes.pod.uid": UID})
    asked = json.loads(docker.asked[-1].query["filters"][0])
    assert asked == {"label": [f"io.kubernetes.pod.uid={UID}", "io.kubernetes.docker.type=container"]}
    states = {container.metadata.name: container.state for container in containers}
    assert states["main"] == pb.CONTAINER_RUNNING
    assert states["done"] == pb.CONTAINER_EXITED
    main = next(container for container in containers if container.metadata.name == "main")
    assert main.metadata.attempt == 1
    assert main.pod_sandbox_id == RECORDED["sandbox"]["Id"]
    assert main.annotations == {"io.kubernetes.container.restartCount": "1"}
    assert set(main.labels) == {"io.kubernetes.container.name", "io.kubernetes.pod.uid"}


async def test_the_states_of_sandbox_and_containers(docker: FakeDocker, runtime: DockerRuntime) -> None:
    sandbox = await runtime.sandbox_status(RECORDED["sandbox"]["Id"])
    assert (sandbox.metadata.name, sandbox.metadata.uid, sandbox.state) == ("web-1", UID, pb.SANDBOX_READY)
    assert sandbox.network.ip.startswith("172.")
    running = await runtime.container_status(RECORDED["running"]["Id"])
    assert running.state == pb.CONTAINER_RUNNING
    assert running.started_at > running.created_at > 1_700_000_000 * 10**9
    assert running.image.image == "edgelab.local/busybox:1.35"
    assert running.image_ref == f"docker://{BUSYBOX}"
    assert running.log_path == "/var/lib/edged/logs/main/1.log"
    assert [(m.host_path, m.container_path, m.readonly) for m in running.mounts] == [
        ("/var/lib/edged/data", "/data", True)
    ]
    exited = await runtime.container_status(RECORDED["exited"]["Id"])
    assert (exited.state, exited.exit_code, exited.reason) == (pb.CONTAINER_EXITED, 3, "Error")
    assert exited.finished_at >= exited.started_at
    broken = await runtime.container_status(RECORDED["broken"]["Id"])
    assert (broken.state, broken.exit_code, broken.reason) == (
        pb.CONTAINER_EXITED,
        127,
        "ContainerCannotRun",
    )
    assert "no such file or directory" in broken.message


async def test_starting_links_the_log(docker: FakeDocker, runtime: DockerRuntime, tmp_path: Path) -> None:
    wanted = tmp_path / "pods" / "main" / "0.log"
    found = json.loads(json.dumps(RECORDED["running"]))
    found["Config"]["Labels"]["io.kubernetes.container.logpath"] = str(wanted)
    docker.answers["POST /containers/c1/start"] = (204, b"")
    docker.answers["GET /containers/c1/json"] = (200, found)
    await runtime.start_container("c1")
    assert wanted.is_symlink()
    assert str(wanted.readlink()) == found["LogPath"]


async def test_what_is_gone_is_stopped_and_removed(docker: FakeDocker, runtime: DockerRuntime) -> None:
    await runtime.stop_container("gone", 3)
    assert docker.find("POST", "/containers/gone/stop").query["t"] == ["3"]
    await runtime.remove_container("gone")
    with pytest.raises(CriError) as missing:
        await runtime.container_status("gone")
    assert missing.value.not_found


async def test_exec_gives_both_streams_and_the_exit_code(docker: FakeDocker, runtime: DockerRuntime) -> None:
    docker.answers["POST /containers/c1/exec"] = (201, {"Id": "e1"})
    docker.answers["POST /exec/e1/start"] = (200, bytes.fromhex(RECORDED["exec output"]))
    docker.answers["GET /exec/e1/json"] = (200, RECORDED["exec"])
    done = await runtime.exec_sync("c1", ["sh", "-c", "x"], 5)
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert docker.find("POST", "/containers/c1/exec").body["Cmd"] == ["sh", "-c", "x"]


def test_output_in_any_pieces_is_put_together() -> None:
    data = bytes.fromhex(RECORDED["exec output"])
    output = Output()
    for position in range(len(data)):
        output.add(data[position : position + 1])
    assert (bytes(output.stdout), bytes(output.stderr)) == (b"out\n", b"err\n")


async def test_usage_of_running_containers(docker: FakeDocker, runtime: DockerRuntime) -> None:
    docker.answers[f"GET /containers/{RECORDED['running']['Id']}/stats"] = (200, RECORDED["stats"])
    (usage,) = await runtime.stats()
    assert usage.attributes.metadata.name == "main"
    assert (
        usage.cpu.usage_core_nano_seconds.value == RECORDED["stats"]["cpu_stats"]["cpu_usage"]["total_usage"]
    )
    memory = RECORDED["stats"]["memory_stats"]
    assert usage.memory.usage_bytes.value == memory["usage"]
    assert usage.memory.working_set_bytes.value == memory["usage"] - memory["stats"]["total_inactive_file"]


async def test_images_are_found_and_listed(docker: FakeDocker, runtime: DockerRuntime) -> None:
    docker.answers["GET /images/json"] = (200, RECORDED["images"])
    assert await runtime.image("none:1") is None
    found = await runtime.image(BUSYBOX)
    assert found is not None
    assert list(found.repo_tags) == ["edgelab.local/busybox:1.35"]
    assert PAUSE in [tag for image in await runtime.images() for tag in image.repo_tags]


async def test_a_pull_takes_the_secret_along_and_tells_the_registrys_words(
    docker: FakeDocker, runtime: DockerRuntime
) -> None:
    progress = b'{"status":"Pulling"}\r\n{"status":"Downloaded"}\r\n'
    docker.answers["POST /images/create"] = (200, progress)
    docker.answers["GET /images/r.io/x:2/json"] = (200, RECORDED["image"])
    auth = pb.AuthConfig(username="u", password="p", server_address="r.io")
    assert await runtime.pull_image("r.io/x:2", auth) == BUSYBOX
    asked = docker.find("POST", "/images/create")
    assert asked.query == {"fromImage": ["r.io/x"], "tag": ["2"]}
    assert "x-registry-auth" in asked.headers
    docker.answers["POST /images/create"] = (200, progress + b'{"error":"manifest unknown: x"}\r\n')
    with pytest.raises(CriError, match="manifest unknown") as refused:
        await runtime.pull_image("r.io/x:2")
    assert refused.value.not_found
    docker.answers["POST /images/create"] = (500, {"message": "unauthorized: no"})
    with pytest.raises(CriError, match="unauthorized"):
        await runtime.pull_image("r.io/x:2")


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("nginx", "latest")),
        ("r.io:5000/a/nginx", ("r.io:5000/a/nginx", "latest")),
        ("r.io:5000/nginx:1.2", ("r.io:5000/nginx", "1.2")),
        ("nginx@sha256:ab", ("nginx", "sha256:ab")),
    ],
)
def test_references_always_name_one_image(reference: str, parts: tuple[str, str]) -> None:
    assert split_reference(reference) == parts


async def test_an_answer_that_does_not_come_is_cut_off(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, str(tmp_path / "docker.sock"))
    runtime = connect(f"unix://{tmp_path}/docker.sock", deadline=0.05)
    try:
        with pytest.raises(CriError) as late:
            await runtime.list_containers()
        assert late.value.code == "DEADLINE_EXCEEDED"
    finally:
        server.close()
        await server.wait_closed()


def test_lines_of_both_log_formats() -> None:
    moment = "2026-11-21T10:00:00.000000000Z"
    assert parse(f"{moment} stdout F a b\n".encode()) == Line(moment, "stdout", "a b\n")
    assert parse(f"{moment} stderr P part".encode()) == Line(moment, "stderr", "part")
    docker = f'{{"log":"a b\\n","stream":"stdout","time":"{moment}"}}\n'.encode()
    assert parse(docker) == Line(moment, "stdout", "a b\n")
    assert parse(b'{"log":"cut o') is None
    assert parse(b"nonsense") is None
