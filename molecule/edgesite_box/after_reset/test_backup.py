"""What stays of the box after its reset: the backup, with what every one of its daemons keeps."""

from __future__ import annotations

import json

from testinfra.host import Host

testinfra_hosts = ["ansible://box"]


def test_one_archive_holds_both_sides(host: Host) -> None:
    [path] = host.check_output("find /var/backups/edgelab -name '*.tar.gz'").splitlines()
    components = json.loads(host.check_output(f"tar -xzOf {path} manifest.json"))["components"]
    paths = {entry["path"] for component in components.values() for entry in component["entries"]}
    assert {"edgesite", "cloudcore", "edgecore"} <= set(components)
    assert "/var/lib/edgelab/edgesite-backup/site.tar.gz" in paths
    assert "/var/lib/kubeedge/edgecore.db" in paths
    assert "/etc/kubeedge/certs/server.key" in paths
    assert components["cloudcore"]["objects"][0]["count"] >= 3


def test_no_pod_is_left_in_containerd(host: Host) -> None:
    assert host.check_output("ctr -n k8s.io containers list --quiet") == ""
