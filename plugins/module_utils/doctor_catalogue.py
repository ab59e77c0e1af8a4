"""Every check of the doctor: stable code, where it applies, who makes it, what it looks at, the usual fix.

A code never changes its meaning and is never used again. docs/reference/doctor.md is made from this file.
"""

from __future__ import annotations

from collections import namedtuple

CLOUD, EDGE, CONTROLLER = "cloud", "edge", "controller"
HOST, KEADM, REPORT = "host", "keadm", "report"
"""Who makes a check: the module itself, the host's keadm, or the report that sees all hosts."""

Check = namedtuple("Check", "code sides source worst looks fix")

# Three lines each: code, sides, who makes it and the worst status; what is looked at; the usual fix.
_TEXT = r"""
HOST-PYTHON cloud,edge host failed
  Python is 3.11 or later
  use Debian 12, Raspberry Pi OS 12, Ubuntu 24.04 or later
HOST-DISTRIBUTION cloud,edge host failed
  Debian, Raspberry Pi OS or Ubuntu with systemd
  use a supported distribution
HOST-NAME cloud,edge host failed
  host name and node name are DNS labels
  `hostnamectl set-hostname NAME`, `edgecore_node_name`
HOST-MEMORY cloud,edge host failed
  memory available
  stop something, or use a larger board
HOST-SWAP cloud,edge host failed
  swap where a kubelet refuses it, and swap that is used up
  `host_swap: "off"`
HOST-DISK cloud,edge host failed
  free space where the cluster writes
  `ctr -n k8s.io images prune --all`, `journalctl --vacuum-size=50M`
HOST-INODES cloud,edge host failed
  free inodes where the cluster writes
  remove directories with many small files
HOST-READ-ONLY cloud,edge host failed
  file systems went read-only (a worn SD card)
  look at `dmesg`, replace the card
HOST-CLOCK cloud,edge host failed
  clock against the controller's
  `timedatectl set-ntp true`
HOST-TIME-SYNC cloud,edge host warning
  something keeps the clock right
  `host_time_sync: true`
HOST-NAMES cloud,edge host failed
  names of the cluster's hosts lead to their addresses
  role host (`host_names`), or /etc/hosts
HOST-ADDRESS cloud,edge host failed
  `edgelab_node_ip` is on an interface of the host
  set `edgelab_node_ip`, or give the host its address
HOST-ROUTES cloud,edge host warning
  one default route
  remove one, or give them different metrics
HOST-FIREWALL cloud,edge host failed
  no ufw, firewalld, nftables or iptables in front of the cluster's ports
  run site.yml with `--tags host_firewall`, or open the ports it names
HOST-PORT-TAKEN cloud,edge host failed
  1883, 10000-10004, 10350, 10550, 6443, the router's 9443 belong to whom they should
  stop the program that it names, or move a port
HOST-UNIT cloud,edge host failed
  services run and do not restart again and again
  `journalctl -u UNIT -n 50`
HOST-RUNTIME cloud,edge host failed
  /opt/edgelab/current leads to a complete installation
  run site.yml with `--tags python_runtime`
HOST-SECRET-MODE cloud,edge host failed
  nobody but root reads keys, tokens, kubeconfigs
  `chmod 600 FILE`
HOST-DATABASE cloud,edge host failed
  SQLite's own check of EdgeCore's and EdgeSite's files
  restore a backup, or start EdgeCore with an empty one
EDGE-CGROUP-MEMORY edge host failed
  the kernel's memory cgroup
  `cgroup_enable=memory cgroup_memory=1` in cmdline.txt
EDGE-CGROUP-DRIVER edge host failed
  one cgroup driver for EdgeCore, runtime and host
  `edgecore_cgroup_driver`, `containerd_cgroup_driver`
EDGE-KERNEL edge host failed
  overlay file system, ip_forward, bridge netfilter
  role host
EDGE-RUNTIME-SOCKET edge host failed
  the container runtime answers on its socket
  `systemctl restart containerd`
EDGE-RUNTIME-CRI edge host failed
  containerd's CRI plugin is not disabled
  take `cri` out of disabled_plugins
EDGE-CNI-CONFIG edge host failed
  a CNI configuration that can be read
  run site.yml with `--tags cni`
EDGE-CNI-PLUGINS edge host failed
  the programs that the CNI configuration names
  `apt install containernetworking-plugins`
EDGE-FORWARD-DROP edge host failed
  no FORWARD policy DROP in the way of pods (Docker sets it)
  accept the bridge in chain DOCKER-USER
EDGE-MQTT-BROKER edge host failed
  the broker that EdgeCore is to use answers
  `systemctl restart mosquitto`, `edgecore_mqtt_server`
EDGE-MQTT-CLASH edge host failed
  Mosquitto and EdgeCore's internal broker do not want one port
  `mqttMode: 2`, or stop Mosquitto
EDGE-MQTT-OPEN edge host failed
  no MQTT listener open to the world without passwords and ACL
  `mosquitto_listen: 127.0.0.1` or `edgecore_mqtt_listen`, or users and rules
EDGE-CLOUD-NAME edge host failed
  the cloud's address resolves
  `edgelab_cloud_address`, DNS, /etc/hosts
EDGE-CLOUD-PORTS edge host failed
  CloudCore's ports can be reached
  start CloudCore, open 10000 and 10002
EDGE-CLOUD-CA edge host failed
  CloudCore's certificate is signed by the CA that this node pinned
  join again with a new token
EDGE-CLOUD-VALIDITY edge host failed
  CloudCore's certificate is valid by this node's clock
  set the clock, renew the certificate
EDGE-CLOUD-SAN edge host failed
  CloudCore's certificate names the address that this node uses
  add it to `cloudcore_advertise_addresses`
EDGE-CLOUD-TUNNEL edge keadm failed
  CloudCore's port for logs and commands can be reached, where `edgeStream` is on
  `cloudcore_stream: true`, open 10004
EDGE-CONFIG edge keadm failed
  edgecore.yaml is valid
  `edgecore --check-config FILE`
EDGE-CONFIG-UNKNOWN edge keadm failed
  edgecore.yaml has no unknown field
  correct the field's name
EDGE-CERT edge keadm failed
  the node's certificate: readable, its key's, of this node, by the pinned CA
  join again with a new token
EDGE-CERT-EXPIRY edge keadm failed
  how long the node's certificate is good
  EdgeCore renews it while connected; else join again
EDGE-TOKEN edge keadm failed
  a join token that lies about: expired, old, or needed no more
  run role edgecore, which fetches a new one
EDGE-RUNTIME-READY edge keadm failed
  the container runtime's own conditions over CRI
  what the runtime says
EDGE-SANDBOX-IMAGE edge keadm failed
  the pause image is on the node
  run site.yml with `--tags containerd_images`
EDGE-LEFTOVERS edge keadm warning
  sandboxes and pod directories of pods that EdgeCore does not know
  `crictl rmp -f ID`, remove the directory
CLOUD-HEALTH cloud host failed
  CloudCore's /healthz
  `journalctl -u cloudcore -n 50`
CLOUD-TIMESERIES cloud host failed
  VictoriaMetrics answers
  `systemctl restart victoria-metrics`
CLOUD-TWIN-LAG cloud host failed
  the twinexporter is healthy and has no backlog
  what its /healthz says
CLOUD-CONSOLE cloud host failed
  the web page is served, and reads cluster and time series
  `journalctl -u edgelab-console -n 50`
CLOUD-CONFIG cloud keadm failed
  cloudcore.yaml is valid
  `cloudcore --check-config FILE`
CLOUD-CONFIG-UNKNOWN cloud keadm failed
  cloudcore.yaml has no unknown field
  correct the field's name
CLOUD-API cloud keadm failed
  the API server answers to the administrator's kubeconfig
  start the control plane, fetch the kubeconfig anew
CLOUD-CERT-SAN cloud keadm failed
  CloudCore's certificate names every address that edge nodes use
  `cloudcore_advertise_addresses`, `cloudcore_dns_names`
CLOUD-CERT-EXPIRY cloud keadm failed
  how long CloudCore's certificate and CA are good
  delete Secret cloudcoresecret, restart CloudCore
CLOUD-CERT-CA cloud keadm failed
  CloudCore shows a certificate of the CA in Secret casecret
  restart CloudCore
CLOUD-TOKEN cloud keadm failed
  the join token is there, of this CA, and not expired
  restart CloudCore, which makes a new one
NODE-READY cloud keadm failed
  each edge node is registered and Ready
  the reason that the API knows
NODE-LEASE cloud keadm failed
  each edge node renewed its lease lately
  is EdgeCore connected? `journalctl -u edgecore`
NODE-ADDRESS cloud keadm failed
  no two nodes have one address
  `edgecore_node_ip`; delete the node that is gone
NODE-PODS cloud keadm failed
  pods on edge nodes run
  the reason that the API knows
NODE-DAEMONSETS cloud keadm failed
  kube-proxy, CNI and other DaemonSets keep off edge nodes
  an affinity against node-role.kubernetes.io/edge
NODE-VERSION cloud keadm warning
  edge nodes run the cloud's version
  run site.yml on the edge
CONTROLLER-ANSIBLE controller report failed
  ansible-core is new enough
  `pip install --upgrade ansible-core`
CONTROLLER-COLLECTION controller report warning
  one copy of the collection on the collections path
  remove one, or put the right one first
CONTROLLER-INVENTORY controller report failed
  the inventory: groups, addresses, switches, misspelt variables
  what it names
CONTROLLER-NODE-NAMES controller report failed
  each edge host has a node name of its own
  `edgecore_node_name`
CONTROLLER-VERSIONS controller report warning
  all hosts have one version of the runtime
  run site.yml without `--limit`
HOST-UNREACHABLE controller report failed
  each host can be reached and examined
  `ansible HOST -m ansible.builtin.ping`
"""


def _read(text):
    lines = [line.strip() for line in text.strip().splitlines()]
    for at in range(0, len(lines), 3):
        code, sides, source, worst = lines[at].split()
        yield Check(code, tuple(sides.split(",")), source, worst, *lines[at + 1 : at + 3])


CHECKS = tuple(_read(_TEXT))
BY_CODE = {check.code: check for check in CHECKS}


def codes(side, source=None):
    """Codes that apply on a side, in the order of the list."""
    return [c.code for c in CHECKS if side in c.sides and source in (None, c.source)]
