"""Router and ServiceBus: messages between cloud and edge, by curl, mosquitto_pub and mosquitto_sub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.lab import Lab, eventually

LIMIT = 12 << 20
"""Bytes of a body that the router takes."""
PORT = "18080"
PLACE = "/tmp/edgelab-messages"
SERVICE = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with open(sys.argv[2], "a") as file:
            print(json.dumps([self.command, self.path, body]), file=file)
        said = ("heard " + body[:100]).encode()
        self.send_response(int(sys.argv[3]))
        self.send_header("X-Service", "lamp")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = answer

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
RULES = f"""
apiVersion: rules.kubeedge.io/v1
kind: RuleEndpoint
metadata: {{name: rest}}
spec: {{ruleEndpointType: rest}}
---
apiVersion: rules.kubeedge.io/v1
kind: RuleEndpoint
metadata: {{name: eventbus}}
spec: {{ruleEndpointType: eventbus}}
---
apiVersion: rules.kubeedge.io/v1
kind: RuleEndpoint
metadata: {{name: service}}
spec: {{ruleEndpointType: servicebus, properties: {{service_port: "{PORT}"}}}}
---
apiVersion: rules.kubeedge.io/v1
kind: Rule
metadata: {{name: commands, annotations: {{edgelab.io/spool: "true"}}}}
spec:
  source: rest
  sourceResource: {{path: /commands}}
  target: eventbus
  targetResource: {{topic: commands}}
---
apiVersion: rules.kubeedge.io/v1
kind: Rule
metadata: {{name: status}}
spec:
  source: rest
  sourceResource: {{path: /status}}
  target: service
  targetResource: {{path: /api/status}}
---
apiVersion: rules.kubeedge.io/v1
kind: Rule
metadata: {{name: alarms}}
spec:
  source: eventbus
  sourceResource: {{topic: alarms, node_name: edge1}}
  target: rest
  targetResource: {{resource: "http://127.0.0.1:{PORT}/alarms"}}
---
apiVersion: rules.kubeedge.io/v1
kind: Rule
metadata: {{name: ingest}}
spec:
  source: service
  sourceResource: {{target_url: "http://ingest.example.org/in", node_name: edge1}}
  target: rest
  targetResource: {{resource: "http://127.0.0.1:{PORT}/in"}}
"""


class Answer(NamedTuple):
    """What curl got; names of headers in small letters."""

    status: int
    headers: dict[str, str]
    body: str


def unit(lab: Lab, host: str, name: str, *argv: str) -> None:
    """Run a program on a host, as a unit of this name."""
    lab.host(host, "systemd-run", "--collect", f"--unit={name}", *argv)


def http_service(lab: Lab, host: str, status: int) -> None:
    """A program that listens on the host's loopback and notes what it is asked."""
    command = ["/usr/bin/python3", "-c", SERVICE, PORT, f"{PLACE}/requests", str(status)]
    unit(lab, host, "edgelab-service", *command)


@pytest.fixture(scope="module")
def router(lab: Lab) -> Iterator[Lab]:
    """The lab with router, ServiceBus and rules, programs on both hosts, and a client of the edge's MQTT."""
    cloud, edge = {"modules": {"router": {"enable": True}}}, {"modules": {"serviceBus": {"enable": True}}}
    try:
        for host, status in (("cloud", 200), ("edge1", 207)):
            lab.host(host, "mkdir", "-p", PLACE)
            http_service(lab, host, status)
        listen = f"exec mosquitto_sub -v -t 'commands/#' > {PLACE}/topics"
        unit(lab, "edge1", "edgelab-subscriber", "sh", "-c", listen)
        with lab.configured(cloudcore=cloud, edgecore=edge), lab.objects(RULES):
            probe = ["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:9060/"]
            eventually(lambda: lab.host("edge1", *probe) == "", "ServiceBus listens", 30)
            yield lab
    finally:
        for host in ("cloud", "edge1"):
            lab.host(host, "systemctl", "stop", "edgelab-service", "edgelab-subscriber", check=False)
            lab.host(host, "rm", "-rf", PLACE)


def curl(lab: Lab, path: str, *options: str) -> Answer:
    """Ask the router for something of edge1."""
    url = f"http://{lab.info['nodes']['cloud']}:9443/edge1/default{path}"
    said = lab.run("curl", "-sSi", "--noproxy", "*", "-H", "Expect:", *options, url).stdout
    head, _, body = said.partition("\n\n")
    first, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


def requests(lab: Lab, host: str, path: str) -> list[list[str]]:
    """What the program on the host was asked below a path: method, path, body."""
    lines = lab.host(host, "sh", "-c", f"cat {PLACE}/requests 2> /dev/null; true").splitlines()
    return [one for one in map(json.loads, lines) if one[1].startswith(path)]


def topics(lab: Lab) -> list[str]:
    """What mosquitto_sub printed on the edge: topic and payload."""
    return lab.host("edge1", "cat", f"{PLACE}/topics").splitlines()


def test_a_post_is_published_on_the_mqtt_of_the_node(router: Lab) -> None:
    answer = curl(router, "/commands/lamp", "-d", "on")
    assert (answer.status, answer.body.strip()) == (200, "message delivered")
    eventually(lambda: topics(router) == ["commands/lamp on"], "the message on the edge", 15)


def test_a_service_of_the_node_answers_itself(router: Lab) -> None:
    answer = curl(router, "/status/now?verbose=1", "-X", "PUT", "-d", "how?")
    assert (answer.status, answer.headers["x-service"], answer.body) == (207, "lamp", "heard how?")
    assert requests(router, "edge1", "/api/status") == [["PUT", "/api/status/now?verbose=1", "how?"]]


def test_what_is_published_at_the_edge_is_posted_once(router: Lab) -> None:
    router.host("edge1", "mosquitto_pub", "-t", "default/alarms", "-m", "too hot")
    eventually(lambda: requests(router, "cloud", "/alarms"), "the POST", 15)

    def counted() -> bool:
        status = router.get("rule", "alarms").get("status") or {}
        return status.get("successMessages") == 1

    eventually(counted, "the rule's counter", 15)
    assert requests(router, "cloud", "/alarms") == [["POST", "/alarms", "too hot"]]


def test_a_program_of_the_node_posts_through_servicebus(router: Lab) -> None:
    message = {"method": "POST", "targetURL": "http://ingest.example.org/in", "payload": {"v": 1}}
    said = router.host("edge1", "curl", "-sS", "-d", json.dumps(message), "http://127.0.0.1:9060/")
    answer = json.loads(said)
    assert answer["code"] == 200
    assert answer["body"].startswith("heard ")
    [[method, _, body]] = requests(router, "cloud", "/in")
    assert (method, json.loads(body)) == ("POST", message)
    other = json.dumps(message | {"targetURL": "http://nowhere.example.org/"})
    said = router.host("edge1", "curl", "-sS", "-d", other, "http://127.0.0.1:9060/")
    assert json.loads(said)["code"] == 400


def test_twelve_mebibytes_pass_and_one_byte_more_is_refused(router: Lab, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * LIMIT)
    assert curl(router, "/status/large", "--data-binary", f"@{body}").status == 207
    [[_, _, arrived]] = requests(router, "edge1", "/api/status/large")
    assert len(arrived) == LIMIT
    body.write_bytes(b"x" * (LIMIT + 1))
    assert curl(router, "/status/larger", "--data-binary", f"@{body}").status == 413


def test_a_message_for_a_node_that_is_away_is_refused_or_kept(router: Lab) -> None:
    before = topics(router)
    router.host("edge1", "systemctl", "stop", "edgecore")
    try:
        eventually(lambda: curl(router, "/status").status == 503, "503 for a service of the node", 60)
        answer = curl(router, "/status")
        assert int(answer.headers["retry-after"]) > 0
        assert "edge1" in answer.body
        answer = curl(router, "/commands/lamp", "-d", "off")
        assert (answer.status, answer.body.strip()) == (202, "message kept until the node connects")
    finally:
        router.host("edge1", "systemctl", "start", "edgecore")
    eventually(lambda: topics(router) == [*before, "commands/lamp off"], "the kept message", 60)
