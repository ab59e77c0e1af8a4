"""rule, rule_endpoint, edge_message: the objects and requests they make, what they refuse and tell."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_message, rule, rule_endpoint

from tests.unit.module_harness import FakeKeadm, run

DONE: dict[str, Any] = {
    "changed": True,
    "objects": [{"action": "changed", "before": {"spec": {"a": 1}}, "after": {"spec": {"a": 2}}}],
}
RULE: dict[str, Any] = {
    "name": "down",
    "source": "rest",
    "from": {"path": "/down"},
    "target": "eventbus",
    "to": {"topic": "down"},
}


def sent(keadm: FakeKeadm) -> tuple[list[str], dict[str, Any]]:
    [(words, stdin)] = keadm.calls
    return words, json.loads(stdin)


def test_a_rule_is_applied_with_its_annotations(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=DONE)
    options = {
        "spool": True,
        "rate_limit": 10,
        "authentication": "token",
        "token_secret": "secret-of-it",
        "certificate_names": ["a", "b"],
        "tls_verify": False,
        "labels": {"n": 1},
    }
    result = run(rule, **RULE, **options, **cluster, _ansible_diff=True)
    words, made = sent(keadm)
    assert words[:2] == ["apply", "--kube-config"]
    assert made == {
        "apiVersion": "rules.kubeedge.io/v1",
        "kind": "Rule",
        "metadata": {
            "name": "down",
            "namespace": "default",
            "labels": {"n": "1"},
            "annotations": {
                "edgelab.io/spool": "true",
                "edgelab.io/rate-limit": "10",
                "edgelab.io/authentication": "token",
                "edgelab.io/token-secret": "secret-of-it",
                "edgelab.io/certificate-names": "a,b",
                "edgelab.io/tls-verify": "false",
            },
        },
        "spec": {
            "source": "rest",
            "sourceResource": {"path": "/down"},
            "target": "eventbus",
            "targetResource": {"topic": "down"},
        },
    }
    assert (result["changed"], result["action"]) == (True, "changed")
    assert result["diff"]["after"].startswith("Rule/default/down {")


def test_an_endpoint_is_applied_and_deleted(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=DONE)
    run(rule_endpoint, name="svc", type="servicebus", service_port=80, **cluster, _ansible_check_mode=True)
    run(rule_endpoint, name="svc", state="absent", **cluster)
    (apply, text), (delete, bare) = keadm.calls
    assert "--check" in apply
    assert json.loads(text)["spec"] == {
        "ruleEndpointType": "servicebus",
        "properties": {"service_port": "80"},
    }
    assert (delete[0], "spec" in json.loads(bare)) == ("delete", False)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (rule, {"name": "r"}, "missing: source, target, from, to"),
        (rule, {**RULE, "from": {}}, "from: exactly one of path, topic, target_url is needed"),
        (rule, {**RULE, "to": {"topic": "a", "path": "b"}}, "to: exactly one of topic, path, resource"),
        (rule, {**RULE, "authentication": "token"}, "token_secret: authentication by token needs"),
        (rule, {**RULE, "rate_limit": -1}, "rate_limit: a rate is not negative"),
        (rule_endpoint, {"name": "e"}, "missing: type"),
        (rule_endpoint, {"name": "e", "type": "servicebus"}, "missing: service_port"),
        (rule_endpoint, {"name": "e", "type": "servicebus", "service_port": 0}, "service_port: 0 is no port"),
    ],
)
def test_what_cannot_be_is_refused_by_its_option(
    keadm: FakeKeadm, cluster: dict[str, str], module: Any, options: dict[str, Any], message: str
) -> None:
    result = run(module, **options, **cluster)
    assert (result["failed"], keadm.calls) == (True, [])
    assert message in result["msg"]


def test_a_refusal_of_the_cluster_is_told(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"error": "spec.source: there is no RuleEndpoint 'rest'"})
    assert run(rule, **RULE, **cluster)["msg"] == "rule: spec.source: there is no RuleEndpoint 'rest'"


class Router(http.server.BaseHTTPRequestHandler):
    """Remembers requests and answers as the test wants."""

    got: list[tuple[str, str, dict[str, str], bytes]]
    answer = (200, b'{"ok": true}')

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.got.append((self.command, self.path, dict(self.headers), body))
        self.send_response(self.answer[0])
        self.send_header("Content-Length", str(len(self.answer[1])))
        self.send_header("X-Node", "edge-1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.answer[1])

    do_GET = do_POST = do_HEAD = do_PUT = handle_any

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def router() -> Iterator[type[Router]]:
    class Mine(Router):
        """Of this test only."""

    Mine.got = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Mine.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield Mine
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_message_is_posted_once_and_the_answer_returned(router: Any) -> None:
    result = run(
        edge_message, url=router.url, node="edge-1", path="/down/a?b=c", body={"x": 1}, token="t0ken"
    )
    [(method, path, headers, body)] = router.got
    assert (method, path, json.loads(body)) == ("POST", "/edge-1/default/down/a?b=c", {"x": 1})
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer t0ken"
    assert (result["changed"], result["failed"], result["status"]) == (True, False, 200)
    assert (result["json"], result["headers"]["x-node"]) == ({"ok": True}, "edge-1")
    assert "t0ken" not in json.dumps(result)


def test_a_refusal_fails_with_its_text_unless_it_is_wanted(router: Any) -> None:
    router.answer = (503, b"cloudcore doesn't have session for node:edge-1\n")
    options = {"url": router.url, "node": "edge-1", "path": "down", "body": "x"}
    result = run(edge_message, **options)
    assert result["failed"]
    assert "status 503: cloudcore doesn't have session for node:edge-1" in result["msg"]
    assert len(router.got) == 1
    result = run(edge_message, **options, status_code=[503])
    assert (result["failed"], result["status"]) == (False, 503)


def test_asking_changes_nothing_and_check_mode_asks_nobody(router: Any) -> None:
    options = {"url": router.url, "node": "edge-1", "path": "down"}
    assert run(edge_message, **options, method="GET")["changed"] is False
    result = run(edge_message, **options, _ansible_check_mode=True)
    assert (result["changed"], result["url"]) == (True, f"{router.url}/edge-1/default/down")
    assert len(router.got) == 1


def test_a_router_that_is_not_there_is_named() -> None:
    result = run(edge_message, url="http://127.0.0.1:1", node="edge-1", path="down")
    assert result["failed"]
    assert result["msg"].startswith("edge_message: http://127.0.0.1:1/edge-1/default/down: ")
