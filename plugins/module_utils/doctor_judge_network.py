"""Checks of a host's network, over what doctor_gather_network read."""

from __future__ import annotations

import time

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    Unknown,
    bad,
    good,
    judges,
    warn,
)
from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_gather_network import ANY
from ansible_collections.edgelab.kubeedge.plugins.module_utils.firewall_packets import (
    Packet,
    iptables_chains,
    network_of,
    nft_tables,
)

BROKERS = ("mosquitto", "edgecore", "amqtt", "nanomq", "emqx")
KUBE_API = ("edgesite", "kube-apiserver", "haproxy", "kube-vip")
OWNERS = {
    "cloud": {
        10000: ("cloudcore",),
        10001: ("cloudcore",),
        10002: ("cloudcore",),
        10003: ("cloudcore",),
        10004: ("cloudcore",),
        6443: KUBE_API,
    },
    "edge": {1883: BROKERS, 10350: ("edgecore",), 10550: ("edgecore",)},
}
CERTIFICATE_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
WARN_DAYS = 30
DAY = 86400


@judges("HOST-ADDRESS")
def address(facts, wanted):
    """The node's address on an interface."""
    if facts.need("own_address")["owned"]:
        return good("{} is on an interface".format(wanted["node_ip"]))
    return bad(
        "{} is on no interface of this host".format(wanted["node_ip"]),
        "set edgelab_node_ip to an address that `ip -brief address` shows, or give the host this one",
    )


@judges("HOST-ROUTES")
def routes(facts, wanted):
    """Default routes."""
    found = facts.need("routes")
    text = ", ".join("{interface} (metric {metric})".format(**route) for route in found)
    best = [route for route in found if route["metric"] == min(r["metric"] for r in found)]
    if len(best) > 1:
        fix = (
            "give each a metric of its own (netplan, NetworkManager, dhcpcd); set edgelab_node_ip explicitly"
        )
        return warn(f"several default routes of one metric: {text}", fix)
    return good(f"default route: {text}" if found else "no default route: only networks at hand are reached")


@judges("HOST-PORT-TAKEN")
def ports(facts, wanted):
    """Ports of the cluster that a stranger holds."""
    owners = {}
    for side in wanted["sides"]:
        owners.update(OWNERS[side])
    if "cloud" in wanted["sides"] and wanted.get("router_port"):
        owners[wanted["router_port"]] = ("cloudcore",)
    strangers = [
        entry
        for entry in facts.need("listeners")
        if entry["port"] in owners
        and entry["process"]
        and not entry["process"].startswith(owners[entry["port"]])
    ]
    found = [
        bad(
            "held by {process} (process {pid}) at {address}".format(**entry),
            "stop it (`systemctl status {pid}` names its unit), or move the port; {owner} needs it".format(
                owner=owners[entry["port"]][0], **entry
            ),
            str(entry["port"]),
        )
        for entry in strangers
    ]
    return found or good("no stranger holds {}".format(", ".join(str(port) for port in sorted(owners))))


@judges("HOST-FIREWALL")
def firewall(facts, wanted):
    """Chains for what comes in that refuse the cluster's ports."""
    found = facts.need("firewall")
    needed = {}
    if "cloud" in wanted["sides"]:
        ports = (wanted["hub_port"], wanted["https_port"], wanted.get("tunnel_port"))
        needed = dict.fromkeys(filter(None, ports), "edge nodes send")
        if wanted.get("router_port"):
            needed[wanted["router_port"]] = "clients of the router send"
    refusals = [
        bad(f"{who} refuses what {whose}", f"run site.yml --tags host_firewall, or `{fix}`", str(port))
        for port, whose in needed.items()
        for who, fix in _refusals(found, wanted["node_ip"], port)
    ]
    if refusals or not needed:
        return refusals or good("edge nodes only call out")
    if "firewalld" in found["front_ends"] and found["nft"] is None:
        fix = "make sure that it lets {} in: {}".format(
            ", ".join(map(str, needed)), FRONT_ENDS["firewalld"].format(port=next(iter(needed)))
        )
        return warn("firewalld is active, and without the program nft its rules cannot be read", fix)
    return good("no firewall refuses the cluster's ports")


FRONT_ENDS = {
    "ufw": "ufw allow {port}/tcp",
    "firewalld": "firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload",
}


def _refusals(found, address, port):
    """(what refuses a connection to a port, the command that opens it) of each packet filter that does."""
    mine = network_of(address) if address else None
    packet = Packet("tcp", port, mine.version if mine else 4, None, mine, found["interface"])
    iptables = found["iptables"]
    if iptables and iptables_chains("\n".join(iptables)).refuses("INPUT", packet):
        program = "iptables" if packet.version == 4 else "ip6tables"
        opening = f"{program} -I INPUT -p tcp --dport {port} -j ACCEPT"
        front = next((name for name in FRONT_ENDS if name in found["front_ends"]), None)
        yield front or "chain INPUT of iptables", FRONT_ENDS.get(front, opening).format(port=port)
    family = "ip" if packet.version == 4 else "ip6"
    for place, (chains, bases) in nft_tables(found["nft"] or []).items():
        if place[0] not in ("inet", family) or (iptables and place == (family, "filter")):
            continue
        for base in bases:
            if chains.refuses(base, packet):
                where = " ".join([*place, base])
                opening = f"nft insert rule {where} tcp dport {port} accept"
                ours = place[1] if place[1] in FRONT_ENDS else None
                yield ours or f"chain {where} of nftables", FRONT_ENDS.get(ours, opening).format(port=port)


@judges("EDGE-CLOUD-NAME")
def cloud_name(facts, wanted):
    """The cloud's address resolves."""
    found = facts.need("cloud")
    if found["resolved"]:
        return good("{} is {}".format(found["address"], ", ".join(found["resolved"])))
    return bad(
        "{} does not resolve: {}".format(found["address"], found["why"]),
        "correct edgelab_cloud_address or the DNS server in /etc/resolv.conf, or name it in /etc/hosts",
    )


@judges("EDGE-CLOUD-PORTS")
def cloud_ports(facts, wanted):
    """CloudCore's ports answer."""
    found = _resolved(facts)
    closed = {port: why for port, why in found["ports"].items() if why}
    if not closed:
        return good("{} answers at {}".format(found["address"], " and ".join(found["ports"])))
    fix = "on the cloud host `systemctl status cloudcore` and its firewall; here `ip route get {}`"
    return [
        bad(f"no connection to {found['address']}: {why}", fix.format(found["address"]), port)
        for port, why in closed.items()
    ]


def _resolved(facts):
    found = facts.need("cloud")
    if not found["resolved"]:
        raise Unknown("{} does not resolve".format(found["address"]))
    return found


def _tls(facts):
    """The outcome of the handshake. Raises Unknown when there was none."""
    found = _resolved(facts)["tls"]
    if not found:
        raise Unknown("CloudCore does not answer at {}".format(facts["cloud"]["address"]))
    if "skipped" in found:
        raise Unknown(found["skipped"])
    return found


@judges("EDGE-CLOUD-CA")
def cloud_ca(facts, wanted):
    """The certificate is signed by the pinned CA."""
    found = _tls(facts)
    if "error" not in found or found["code"] in CERTIFICATE_TIME:
        return good("CloudCore's certificate is signed by the CA of this node")
    return bad(
        "CloudCore's certificate is not signed by {}: {}".format(wanted["ca_file"], found["error"]),
        "the cloud has another CA than the one this node joined: remove {} and /etc/kubeedge/certs, "
        "then run site.yml --tags edgecore, which joins anew".format(wanted["ca_file"]),
    )


@judges("EDGE-CLOUD-VALIDITY")
def cloud_validity(facts, wanted):
    """The certificate is valid now."""
    found = _tls(facts)
    if "error" in found:
        if found["code"] not in CERTIFICATE_TIME:
            raise Unknown("CloudCore's certificate was not accepted: {}".format(found["error"]))
        fix = (
            "compare `date` here and on the cloud host; when both are right, delete Secret "
            "kubeedge/cloudcoresecret and restart CloudCore"
        )
        return bad("CloudCore's certificate: {}".format(found["error"]), fix)
    days = (found["expires"] - facts.get("now", time.time())) / DAY
    if days < WARN_DAYS:
        fix = "delete Secret kubeedge/cloudcoresecret and restart CloudCore: it makes a new certificate"
        return warn(f"CloudCore's certificate ends in {days:.0f} days", fix)
    return good(f"CloudCore's certificate is good for {days:.0f} days")


@judges("EDGE-CLOUD-SAN")
def cloud_names(facts, wanted):
    """The certificate names the address that this node uses."""
    found = _tls(facts)
    if "error" in found:
        raise Unknown("CloudCore's certificate was not accepted: {}".format(found["error"]))
    used = facts["cloud"]["address"]
    if any(_names(name, used) for name in found["names"]):
        return good(f"CloudCore's certificate names {used}")
    return bad(
        "CloudCore's certificate is for {}, not for {}".format(
            ", ".join(found["names"]) or "no address", used
        ),
        f"add {used} to cloudcore_advertise_addresses or cloudcore_dns_names, run site.yml --tags cloudcore",
    )


def _names(name, used):
    if name.startswith("*."):
        return used.partition(".")[2].lower() == name[2:].lower()
    return name.lower() == used.lower()


@judges("EDGE-MQTT-OPEN")
def mqtt_open(facts, wanted):
    """A listener that everybody in the network may use."""
    outside = [e for e in facts.need("listeners") if e["port"] in (1883, 1884) and e["address"] in ANY]
    if not outside:
        return good("MQTT listens on this host only, or not at all")
    config = facts.need("mosquitto")
    lacks = [(entry, _mqtt_lacks(entry, config, facts)) for entry in outside]
    return [
        bad(f"MQTT is open to the network without {lack}", _mqtt_fix(entry), str(entry["port"]))
        for entry, lack in lacks
        if lack
    ] or good("MQTT listens for other hosts, with passwords and an ACL")


def _is_internal(entry):
    return entry["process"].startswith("edgecore")


def _mqtt_lacks(entry, config, facts):
    """What the broker behind a listener lets everybody do without; empty when nothing."""
    if _is_internal(entry):
        settings = facts.need("settings")
        passwords, acl = settings.get("mqtt_users"), settings.get("mqtt_rules")
    else:
        passwords, acl = not config["anonymous"], config["acl"]
    return "" if passwords and acl else "an ACL" if passwords else "passwords"


def _mqtt_fix(entry):
    if _is_internal(entry):
        return (
            "set edgecore_mqtt_listen: tcp://127.0.0.1:1884, or edgecore_mqtt_users and edgecore_mqtt_rules"
        )
    return "set mosquitto_listen: 127.0.0.1, or mosquitto_users and mosquitto_rules"
