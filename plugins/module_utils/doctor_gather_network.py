"""What the doctor reads of the network: listeners, routes, packet filters, the way to the cloud."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import Unknown
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_gather_host import text_of
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_base import interface_of

CONNECT_SECONDS = 3
LISTEN = "0A"
ANY = ("0.0.0.0", "::")  # noqa: S104 - to recognise it, not to bind to it


def output_of(*argv):
    """What a program of the host prints; Unknown when it is not there or fails."""
    program = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise Unknown(f"{argv[0]} is not installed")
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        [program, *argv[1:]], capture_output=True, text=True, timeout=10, check=False, env=environment
    )
    if done.returncode:
        raise Unknown(f"{argv[0]} failed: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return done.stdout


def listeners(processes):
    """TCP sockets that listen: port, address, and the process that holds each."""
    found = []
    for family, path in ((socket.AF_INET, "/proc/net/tcp"), (socket.AF_INET6, "/proc/net/tcp6")):
        for line in text_of(path).splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN:
                address, _colon, port = words[1].partition(":")
                found.append((int(port, 16), _address(family, address), words[9]))
    owners = _owners({inode for _port, _address_, inode in found}, processes)
    return [
        {
            "port": port,
            "address": address,
            "process": owners.get(inode, ("", 0))[0],
            "pid": owners.get(inode, ("", 0))[1],
        }
        for port, address, inode in found
    ]


def _address(family, text):
    """An address out of /proc/net, which holds words in the machine's byte order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


def _owners(inodes, processes):
    found = {}
    for pid, name in processes.items():
        with contextlib.suppress(OSError):  # it ended, or is another user's
            for entry in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{entry}")
                    if target.startswith("socket:[") and target[8:-1] in inodes:
                        found[target[8:-1]] = (name, pid)
    return found


def routes():
    """Default routes of IPv4: interface and metric."""
    rows = [line.split() for line in text_of("/proc/net/route").splitlines()[1:]]
    return [{"interface": row[0], "metric": int(row[6])} for row in rows if row[1] == row[7] == "00000000"]


def owns(address):
    """Whether an address is on an interface of this host: only then a socket can be bound to it."""
    if not address:
        raise Unknown("no address of the host is known: set edgelab_node_ip")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return {"owned": False}
    return {"owned": True}


def firewall(processes, address):
    """Front ends that are active, rules of iptables and nftables, and where others' packets come in."""
    found = {"front_ends": [], "interface": interface_of(address)}
    if "ENABLED=yes" in text_of("/etc/ufw/ufw.conf"):
        found["front_ends"].append("ufw")
    if "firewalld" in processes.values():
        found["front_ends"].append("firewalld")
    iptables = _rules("ip6tables" if ":" in (address or "") else "iptables", "-S")
    nft = _rules("nft", "--json", "list", "ruleset")
    if iptables is None and nft is None:
        raise Unknown("neither iptables nor nft is installed")
    found["iptables"] = None if iptables is None else iptables.splitlines()
    found["nft"] = None if nft is None else json.loads(nft)["nftables"]
    return found


def _rules(*argv):
    """What a program prints; None when it is not there, or the rules are not in a form that it reads."""
    try:
        return output_of(*argv)
    except Unknown:
        return None


def cloud(address, ports, ca_file):
    """The way to CloudCore: what its name leads to, which ports answer, and the TLS handshake."""
    if not address:
        raise Unknown("no address of the cloud is known: set edgelab_cloud_address")
    try:
        resolved = sorted({entry[4][0] for entry in socket.getaddrinfo(address, None)})
    except OSError as error:
        return {"address": address, "resolved": [], "why": error.strerror, "ports": {}, "tls": {}}
    reached = {str(port): _connect(address, port) for port in ports}
    tls = _handshake(address, ports[-1], ca_file) if not reached[str(ports[-1])] else {}
    return {"address": address, "resolved": resolved, "why": "", "ports": reached, "tls": tls}


def _connect(address, port):
    try:
        socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _handshake(address, port, ca_file):
    """The certificate that CloudCore shows, checked against the CA that this node pinned when it joined."""
    if not os.path.exists(ca_file):
        return {"skipped": f"{ca_file} is not there: the node has not joined"}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(ca_file)
        plain = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        with plain, context.wrap_socket(plain) as channel:
            shown = channel.getpeercert()
    except ssl.SSLCertVerificationError as error:
        return {"error": error.verify_message, "code": error.verify_code}
    except (OSError, ssl.SSLError) as error:
        return {"error": getattr(error, "reason", None) or str(error), "code": -1}
    names = [value for _kind, value in shown.get("subjectAltName", ())]
    return {"names": names, "expires": ssl.cert_time_to_seconds(shown["notAfter"])}


def answer_of(url):
    """Status and beginning of what a local URL answers; status 0 when nothing does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=CONNECT_SECONDS) as response:
            return {"status": response.status, "text": response.read(65536).decode("utf-8", "replace")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": error.read(4096).decode("utf-8", "replace")}
    except OSError as error:
        return {"status": 0, "text": str(getattr(error, "reason", error))}
