"""`keadm debug check`: whether this host has what an edge node needs (KubeEdge `keadm debug check`).

Limits are KubeEdge's: 1 core, 256 MiB of memory with 128 free, 1 GiB of disk with 512 MiB free, at most 90 %
in use, 5 % of the process numbers free.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgelab.keadm.diagnose_findings import Finding, failed, ok, warning
from edgelab.keadm.preflight import MACHINES

MIB = 1 << 20
BUSY = 0.9
CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Targets:
    """Where to look: names to resolve, hosts to reach, the runtime's socket; empty ones are left out."""

    domain: str = ""
    dns_server: str = ""
    address: str = ""
    servers: list[str] = field(default_factory=list)
    runtime: str = ""
    disk: Path = Path("/var/lib/kubeedge")
    proc: Path = Path("/proc")


def arch(_: Targets) -> list[Finding]:
    """A processor that wheels are built for, with as many bits as Python has."""
    machine = platform.machine()
    if machine not in MACHINES:
        return [
            failed("CHECK-ARCH", f"this is a {machine}", f"edgelab is built for {', '.join(MACHINES[:3])}")
        ]
    if machine in ("x86_64", "aarch64") and sys.maxsize < 1 << 32:
        return [
            warning("CHECK-ARCH", f"a 32-bit Python on a {machine}", "install a 64-bit system, it is faster")
        ]
    return [ok("CHECK-ARCH", machine)]


def cpu(targets: Targets) -> list[Finding]:
    """Processors, and how busy they are: the load of the last minute for each."""
    count = os.cpu_count() or 0
    if count < 1:
        return [failed("CHECK-CPU", "no processor is seen", "give this host at least one")]
    load = float((targets.proc / "loadavg").read_text(encoding="utf-8").split()[0])
    text = f"{count} processors, load {load:.2f}"
    if load > BUSY * count:
        return [warning("CHECK-CPU", text, "see what is busy: top -o %CPU")]
    return [ok("CHECK-CPU", text)]


def mem(targets: Targets) -> list[Finding]:
    """Memory in all, and what is available."""
    lines = (targets.proc / "meminfo").read_text(encoding="utf-8").splitlines()
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return [room("CHECK-MEM", "memory", sizes["MemTotal"], sizes["MemAvailable"], (256, 128))]


def disk(targets: Targets) -> list[Finding]:
    """The file system of EdgeCore's database."""
    place = targets.disk
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    return [room("CHECK-DISK", f"the file system of {place}", usage.total, usage.free, (1024, 512))]


def room(code: str, what: str, total: int, free: int, least: tuple[int, int]) -> Finding:
    """Enough in all (MiB), enough free (MiB), and not nearly full."""
    text = f"{what}: {total // MIB} MiB, {free // MIB} MiB free"
    if total < least[0] * MIB or free < least[1] * MIB:
        return failed(code, text, f"{least[0]} MiB with {least[1]} MiB free are needed: make room")
    if free < (1 - BUSY) * total:
        return warning(code, text, "more than 90 % is in use: make room")
    return ok(code, text)


def pid(targets: Targets) -> list[Finding]:
    """Process numbers: threads that there are, of those that there can be."""
    limit = int((targets.proc / "sys/kernel/pid_max").read_text(encoding="utf-8"))
    used = int((targets.proc / "loadavg").read_text(encoding="utf-8").split()[3].partition("/")[2])
    text = f"{used} of {limit} process numbers are in use"
    if used > 0.95 * limit:
        return [failed("CHECK-PID", text, "see who has them (ps -eLf), or raise kernel.pid_max")]
    return [ok("CHECK-PID", text)]


def dns(targets: Targets) -> list[Finding]:
    """A name resolves: through the host's own settings, or at the DNS server asked for."""
    if not targets.domain:
        return [ok("CHECK-DNS", "no name is needed: CloudCore is known by its address")]
    fix = "correct /etc/resolv.conf, or add the name to /etc/hosts"
    try:
        if targets.dns_server:
            found = [ask(targets.dns_server, targets.domain)]
        else:
            found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(targets.domain, None)})
    except (OSError, ValueError) as error:
        where = f" at {targets.dns_server}" if targets.dns_server else ""
        return [
            failed("CHECK-DNS", f"{targets.domain} does not resolve{where}: {error}", fix, targets.domain)
        ]
    return [ok("CHECK-DNS", f"{targets.domain} is {', '.join(found)}", targets.domain)]


def ask(server: str, name: str) -> str:
    """One DNS question over UDP; how many answers came. Raises OSError, and ValueError for a refusal."""
    query = bytes.fromhex("eda9 0100 0001 0000 0000 0000")
    query += b"".join(bytes([len(part)]) + part.encode("idna") for part in name.rstrip(".").split("."))
    query += bytes.fromhex("00 0001 0001")
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(CONNECT_SECONDS)
        sock.connect((server, 53))
        sock.send(query)
        answer = sock.recv(4096)
    if len(answer) < 12 or answer[:2] != query[:2]:
        raise ValueError("the answer is none to this question")
    code, count = answer[3] & 15, int.from_bytes(answer[6:8])
    if code or not count:
        raise ValueError(
            {2: "the server failed", 3: "no such name", 5: "refused"}.get(code, "no answer to it")
        )
    return f"known to {server} ({count} answers)"


def network(targets: Targets) -> list[Finding]:
    """CloudCore's ports, and a host that has to be reached."""
    findings = []
    for server in targets.servers:
        host, _, port = server.rpartition(":")
        findings.append(connect(host.strip("[]"), int(port), server))
    if targets.address:
        findings.append(ping(targets.address))
    return findings or [ok("CHECK-NETWORK", "there is no configuration that names a server")]


def connect(host: str, port: int, server: str) -> Finding:
    """A TCP connection."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        fix = "on the cloud host `systemctl status cloudcore`, and its firewall"
        return failed("CHECK-NETWORK", f"no connection to {server}: {error}", fix, server)
    return ok("CHECK-NETWORK", f"{server} answers", server)


def ping(address: str) -> Finding:
    """One echo, by the host's own ping."""
    import subprocess

    program = shutil.which("ping")
    if program is None:
        return warning("CHECK-NETWORK", "there is no ping on this host", "apt install iputils-ping", address)
    words = [program, "-c", "1", "-W", "2", "--", address]
    if subprocess.run(words, capture_output=True, check=False).returncode:  # noqa: S603 - fixed program
        return failed(
            "CHECK-NETWORK", f"{address} does not answer a ping", "see `ip route get` to it", address
        )
    return ok("CHECK-NETWORK", f"{address} answers a ping", address)


def runtime(targets: Targets) -> list[Finding]:
    """The container runtime is ready."""
    from edgelab.keadm.diagnose_install import runtime as ready

    return [ready(targets.runtime)]


CHECKS: dict[str, Callable[[Targets], list[Finding]]] = {
    "arch": arch,
    "cpu": cpu,
    "mem": mem,
    "disk": disk,
    "dns": dns,
    "network": network,
    "pid": pid,
    "runtime": runtime,
}
