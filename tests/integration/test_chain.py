"""From the API to the edge and back: the two demos, and the second run.

Covers the promise of `make up`; failures and the pulled plug have files of their own.
"""

from __future__ import annotations

import json

from tests.integration.lab import Lab, eventually, fetch

MOST_TASKS = 137
"""Executed tasks of a second run over both hosts and the controller."""


def test_the_edge_node_is_ready_and_the_cloud_host_is_no_node(lab: Lab) -> None:
    nodes = {node["metadata"]["name"]: node for node in lab.get("nodes")["items"]}
    assert set(nodes) == {"edge1"}
    assert lab.node_ready("edge1")
    labels = nodes["edge1"]["metadata"]["labels"]
    assert labels["node-role.kubernetes.io/edge"] == ""
    assert nodes["edge1"]["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.32.10-kubeedge-v")
    addresses = {a["type"]: a["address"] for a in nodes["edge1"]["status"]["addresses"]}
    assert addresses["InternalIP"] == lab.info["nodes"]["edge1"]


def test_nginx_runs_on_the_edge_and_serves_its_page(lab: Lab) -> None:
    pods = lab.get("pods", "-l", "app=nginx")["items"]
    assert [(p["spec"]["nodeName"], p["status"]["phase"]) for p in pods] == [("edge1", "Running")]
    assert "Welcome to nginx!" in fetch(lab.url("nginx"))
    deployment = lab.get("deployment", "nginx")
    assert deployment["status"]["availableReplicas"] == 1


def test_logs_and_commands_reach_the_pod_at_the_edge(lab: Lab) -> None:
    pod = lab.get("pods", "-l", "app=nginx")["items"][0]["metadata"]["name"]
    fetch(lab.url("nginx"))
    assert '"GET / HTTP/1.1" 200' in lab.kubectl("logs", pod)
    assert lab.kubectl("exec", pod, "--", "nginx", "-t", "-q") == ""
    addresses = {a["type"]: a["address"] for a in lab.get("node", "edge1")["status"]["addresses"]}
    assert addresses["InternalDNS"] == lab.info["nodes"]["cloud"]


def test_the_reported_temperature_changes(lab: Lab) -> None:
    def reported() -> str:
        twins = lab.get("devicestatus", "edge1-cpu")["status"]["twins"]
        value: str = next(t["reported"]["value"] for t in twins if t["propertyName"] == "temperature")
        return value

    first = eventually(reported, "a first value", 20)
    eventually(lambda: reported() != first, "a second value", 20)
    assert -40 < float(first) < 150


def test_samples_keep_arriving_in_the_database(lab: Lab) -> None:
    def samples() -> float:
        series = lab.query("count_over_time(kubeedge_device_temperature[1h])")
        assert len(series) == 1
        labels = series[0]["metric"]
        assert (labels["namespace"], labels["device"], labels["node"]) == ("default", "edge1-cpu", "edge1")
        return float(series[0]["value"][1])

    first = eventually(samples, "a first sample", 30)
    eventually(lambda: samples() >= first + 3, "three more samples", 30)


def test_the_console_serves_its_page_and_reads_everything(lab: Lab) -> None:
    url = lab.url("console")
    assert "<title>edgelab console</title>" in fetch(url)
    assert eventually(lambda: fetch(f"{url}healthz"), "a healthy console", 30) == "ok\n"
    curves = eventually(
        lambda: json.loads(fetch(f"{url}api/series?device=default/edge1-cpu&seconds=300"))["curves"],
        "a curve of the temperature",
        30,
    )
    assert len(curves["temperature"]) > 1
    [pod] = lab.get("pods", "-l", "app=nginx")["items"]
    query = f"pod=default/{pod['metadata']['name']}&container={pod['spec']['containers'][0]['name']}"
    fetch(lab.url("nginx"))
    told = json.loads(fetch(f"{url}api/log?{query}", deadline=20))
    assert "log" in told, told


def test_what_kubectl_prints_names_the_parts(lab: Lab) -> None:
    table = lab.kubectl("get", "nodes,pods,devices,devicestatuses", "-A", "-o", "wide")
    for word in ("node/edge1", "Ready", "pod/nginx-", "Running", "edge1-cpu", "containerd://"):
        assert word in table, table


def test_a_second_run_changes_nothing_and_stays_small(lab: Lab) -> None:
    recap = lab.play()
    assert (recap.changed, recap.failed, recap.unreachable) == (0, 0, 0), recap.output[-3000:]
    assert recap.ok <= MOST_TASKS


def test_check_mode_predicts_no_change(lab: Lab) -> None:
    recap = lab.play("--check", "--diff")
    assert (recap.changed, recap.failed) == (0, 0), recap.output[-3000:]


def test_a_config_map_and_a_secret_reach_a_pod(lab: Lab) -> None:
    image = lab.get("deployment", "nginx")["spec"]["template"]["spec"]["containers"][0]["image"]
    lab.kubectl("apply", "-f", "-", stdin=SETTINGS_POD.replace("IMAGE", image))
    try:
        lab.kubectl("wait", "--for=condition=Ready", "pod/settings", "--timeout=60s")

        def page() -> str:
            return fetch(f"http://{lab.info['nodes']['edge1']}:8099/greeting.html")

        assert eventually(page, "the page from the ConfigMap", 15) == "hello"
        lab.kubectl("patch", "configmap", "settings", "-p", '{"data": {"greeting.html": "servus"}}')
        eventually(lambda: page() == "servus", "the changed ConfigMap in the pod", 90)
        uid = lab.get("pod", "settings")["metadata"]["uid"]
        volumes = f"/var/lib/kubelet/pods/{uid}/volumes"
        for volume in ("kubernetes.io~secret/password", "kubernetes.io~empty-dir/scratch"):
            assert lab.host("edge1", "stat", "-c", "%g", f"{volumes}/{volume}").strip() == "4321"
    finally:
        lab.kubectl("delete", "pod/settings", "configmap/settings", "secret/settings", "--ignore-not-found")


SETTINGS_POD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting.html: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: settings}
stringData: {password: secret}
---
apiVersion: v1
kind: Pod
metadata: {name: settings}
spec:
  nodeSelector: {node-role.kubernetes.io/edge: ""}
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 4321}
  volumes:
    - {name: site, configMap: {name: settings}}
    - {name: password, secret: {secretName: settings}}
    - {name: scratch, emptyDir: {}}
  containers:
    - name: web
      image: IMAGE
      ports: [{containerPort: 80, hostPort: 8099}]
      env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: settings, key: password}}}
      volumeMounts:
        - {name: site, mountPath: /usr/share/nginx/html}
        - {name: password, mountPath: /password}
        - {name: scratch, mountPath: /scratch}
"""
