"""logs, exec, attach, port-forward and cp of a real kubectl, through EdgeSite, CloudCore and EdgeCore."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from tests.component.edged.containerd import REFERENCES
from tests.component.streams.lab import StreamLab, StreamNode, sleeper
from tests.edgecore.processes import ended

from edgelab.identity.ca import CertificateAuthority

pytestmark = pytest.mark.usefixtures("node")

TALKING = 'i=0; while true; do i=$((i+1)); echo "line $i"; sleep 0.1; done'


async def published(lab: StreamLab) -> tuple[str, int]:
    async with asyncio.timeout(20):
        while (found := await lab.published())[0] == "":
            await asyncio.sleep(0.1)
    return found


async def test_the_node_names_cloudcore_as_the_way_to_its_kubelet(lab: StreamLab, node: StreamNode) -> None:
    assert await published(lab) == ("127.0.0.1", lab.first)
    addresses = {item["type"]: item["address"] for item in (await lab.node())["status"]["addresses"]}
    assert addresses["InternalIP"] == "127.0.0.1"
    assert addresses["Hostname"] == "edge1"


async def test_logs_come_are_followed_and_end_when_nobody_reads(lab: StreamLab) -> None:
    await lab.apply(sleeper("talking", TALKING))
    await published(lab)
    assert (await lab.kubectl("logs", "talking")).startswith("line 1\n")
    assert await lab.kubectl("logs", "talking", "--limit-bytes=6") == "line 1"
    assert (await lab.kubectl("logs", "talking", "--tail=1")).count("\n") == 1
    following = await lab.start_kubectl("logs", "-f", "talking", "--tail=1")
    assert following.stdout is not None
    numbers = [int((await asyncio.wait_for(following.stdout.readline(), 20)).split()[1]) for _ in range(10)]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    following.kill()
    await following.wait()
    refused = await lab.kubectl("logs", "talking", "--previous", fails=True)
    assert 'previous terminated container "main" in pod "talking" not found' in refused


async def test_a_command_has_input_outputs_and_an_exit_code(lab: StreamLab) -> None:
    await lab.apply(sleeper("exec"))
    await published(lab)
    assert await lab.kubectl("exec", "exec", "--", "echo", "hi") == "hi\n"
    assert await lab.kubectl("exec", "-i", "exec", "--", "cat", stdin=b"a\nb\n") == "a\nb\n"
    failed = await lab.kubectl("exec", "exec", "--", "sh", "-c", "echo oops >&2; exit 3", fails=True)
    assert failed == "oops\ncommand terminated with exit code 3\n"
    missing = await lab.kubectl("exec", "exec", "--", "nosuchprogram", fails=True)
    assert "nosuchprogram" in missing
    big = bytes(range(256)) * 8192
    counted = await lab.kubectl("exec", "-i", "exec", "--", "sh", "-c", "cat | md5sum", stdin=big)
    assert counted.split()[0] == hashlib.md5(big).hexdigest()


async def test_attach_joins_what_runs(lab: StreamLab) -> None:
    script = "while read line; do echo got $line; done"
    await lab.apply(sleeper("attach", script, stdin=True))
    await published(lab)
    process = await lab.start_kubectl("attach", "-i", "attach")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    async with asyncio.timeout(20):
        while b"got hello" not in await process.stdout.readline():
            pass
    process.kill()
    await process.wait()


async def test_ports_are_forwarded_to_the_pod(lab: StreamLab) -> None:
    pod = sleeper("web")
    pod["spec"]["containers"] = [
        {"name": "nginx", "image": REFERENCES["nginx"], "imagePullPolicy": "IfNotPresent"}
    ]
    await lab.apply(pod)
    await published(lab)
    process = await lab.start_kubectl("port-forward", "web", ":80")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    port = int(line.split(":")[1].split()[0])
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        try:
            assert b"nginx" in await asyncio.wait_for(reader.read(), 20)
        finally:
            await ended(writer)
    process.kill()
    await process.wait()


async def test_files_are_copied_both_ways(lab: StreamLab, tmp_path: Path) -> None:
    await lab.apply(sleeper("copy"))
    await published(lab)
    content = bytes(range(256)) * 4096
    (tmp_path / "there").write_bytes(content)
    await lab.kubectl("cp", str(tmp_path / "there"), "copy:/tmp/file")
    await lab.kubectl("cp", "copy:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


async def request(lab: StreamLab, *, certificate: Path | None = None) -> bytes:
    """The first line of the answer to somebody who asks CloudCore directly; none without TLS."""
    address, port = await published(lab)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate.with_suffix(".crt"), certificate.with_suffix(".key"))
    try:
        reader, writer = await asyncio.open_connection(address, port, ssl=context)
    except (ssl.SSLError, ConnectionError):  # TLS ended it
        return b""
    try:
        writer.write(b"GET /containerLogs/default/nobody/main HTTP/1.1\r\nHost: x\r\n\r\n")
        return (await asyncio.wait_for(reader.readline(), 20)).strip()
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        await ended(writer)


async def test_nobody_else_may_use_the_port(lab: StreamLab, node: StreamNode, tmp_path: Path) -> None:
    assert await request(lab) == b"HTTP/1.1 401 Unauthorized"
    for suffix in (".crt", ".key"):
        source = node.directory / suffix.removeprefix(".")
        (tmp_path / f"node{suffix}").write_bytes(source.read_bytes())
    assert await request(lab, certificate=tmp_path / "node") == b""
    tls = lab.directory / "site" / "tls"
    authority = CertificateAuthority.load((tls / "ca.crt").read_bytes(), (tls / "ca.key").read_bytes())
    pair = authority.issue(common_name="somebody", organization="people", client=True, days=1)
    (tmp_path / "person.crt").write_bytes(pair.cert_pem)
    (tmp_path / "person.key").write_bytes(pair.key_pem)
    assert await request(lab, certificate=tmp_path / "person") == b"HTTP/1.1 403 Forbidden"
    assert await request(lab, certificate=tls / "kubelet-client") == b"HTTP/1.1 404 Not Found"
