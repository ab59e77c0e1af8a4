"""What the mesh tells the host: its rules for nftables, its line in resolv.conf."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.edgemesh.objects import endpoint_slice, member, service, table_of

from edgelab.edgemesh import netfilter
from edgelab.edgemesh.commands import CommandError, run
from edgelab.edgemesh.hostnames import COMMENT, HostNames
from edgelab.edgemesh.proxy.balance import key_of

IP = "169.254.96.16"


def lines_of(*objects: dict[str, object]) -> str:
    ports = list(table_of(*objects).ports())
    numbers = {key_of(port): 5353 for port in ports if port.protocol == "UDP"}
    return netfilter.ruleset(IP, ports, 4000, numbers)


def test_connections_are_brought_to_the_proxy_and_datagrams_to_their_own_socket() -> None:
    dns = service("dns", "10.96.0.53", ports=[{"name": "http", "port": 53, "protocol": "UDP"}])
    udp = endpoint_slice("dns", member("10.0.0.9"), ports=[{"name": "http", "port": 53, "protocol": "UDP"}])
    text = lines_of(service("web"), endpoint_slice("web", member("10.0.0.2")), dns, udp)
    assert f"10.96.0.10 . 18050 : {IP} . 4000" in text
    assert f"10.96.0.53 . 53 : {IP} . 5353" in text
    assert "set services { type ipv4_addr; elements = { 10.96.0.10, 10.96.0.53 }; }" in text


def test_a_port_without_endpoints_is_left_to_be_refused() -> None:
    text = lines_of(service("web"))
    assert "18050" not in text
    assert "elements = { 10.96.0.10 }" in text
    assert "ip daddr @services reject" in text


@pytest.mark.parametrize("objects", [(), (service("web"), endpoint_slice("web", member("10.0.0.2")))])
async def test_nft_takes_what_is_said(objects: tuple[dict[str, object], ...]) -> None:
    await run("nft", "--check", "-f", "-", text=lines_of(*objects))


async def test_a_program_that_fails_or_is_missing_is_named() -> None:
    with pytest.raises(CommandError, match=r"`nft -f -`: .*syntax error"):
        await run("nft", "-f", "-", text="nonsense\n")
    with pytest.raises(CommandError, match=r"the program `no-such-program` is missing"):
        await run("no-such-program")


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Path:
    file = tmp_path / "resolv.conf"
    file.write_text("search example.org\nnameserver 192.0.2.53\n")
    return file


async def test_its_line_comes_first_and_goes_again(resolv_conf: Path, tmp_path: Path) -> None:
    before = resolv_conf.read_text()
    host = HostNames("edgemesh0", IP, "cluster.local", file=resolv_conf, resolved=tmp_path / "none")
    await host.enter()
    await host.enter()
    assert resolv_conf.read_text() == f"{COMMENT}\nnameserver {IP}\n{before}"
    host.leave()
    assert resolv_conf.read_text() == before


async def test_its_line_is_put_back_when_the_file_is_written_anew(resolv_conf: Path, tmp_path: Path) -> None:
    class Time:
        def __init__(self) -> None:
            self.looks: asyncio.Queue[None] = asyncio.Queue()

        async def sleep(self, seconds: float) -> None:
            await self.looks.get()

    clock = Time()
    host = HostNames(
        "edgemesh0",
        IP,
        "cluster.local",
        file=resolv_conf,
        resolved=tmp_path / "none",
        clock=clock,  # type: ignore[arg-type]  # it only sleeps
    )
    task = asyncio.create_task(host.run())
    async with asyncio.timeout(10):
        while IP not in resolv_conf.read_text():
            await asyncio.sleep(0)
        resolv_conf.write_text("nameserver 192.0.2.99\n")
        clock.looks.put_nowait(None)
        while IP not in resolv_conf.read_text():
            await asyncio.sleep(0)
    assert resolv_conf.read_text().endswith("nameserver 192.0.2.99\n")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_with_systemd_resolved_the_interface_gets_the_name_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = tmp_path / "resolve"
    resolved.mkdir()
    (resolved / "stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    link = tmp_path / "resolv.conf"
    link.symlink_to(resolved / "stub-resolv.conf")
    log = tmp_path / "log"
    program = tmp_path / "resolvectl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    host = HostNames("edgemesh0", IP, "cluster.local", file=link, resolved=resolved)
    await host.enter()
    host.leave()
    assert log.read_text().splitlines() == [f"dns edgemesh0 {IP}", "domain edgemesh0 ~cluster.local"]
    assert link.read_text() == "nameserver 127.0.0.53\n"


async def test_a_program_does_not_tell_systemd_for_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("LANG", "C.UTF-8")
    found = await run("env")
    assert "LANG=C.UTF-8" in found
    assert "NOTIFY_SOCKET" not in found
