"""Messages between the cloud and an edge node: rules, counters, and what is said when one is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
DEMO = Path(__file__).resolve().parents[1] / "demo.yml"
Kubectl = Callable[..., str]
Machine = Callable[[str], Host]
Eventually = Callable[..., Any]


def status(kubectl: Kubectl, rule: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", "rule", rule, "-o", "json"))
    return dict(found.get("status") or {})


def test_both_rules_have_delivered(kubectl: Kubectl, eventually: Eventually) -> None:
    for rule in ("router-demo-down", "router-demo-up"):
        eventually(lambda rule=rule: status(kubectl, rule).get("successMessages", 0) > 0, rule, 30)


def test_a_program_with_curl_reaches_the_node(machine: Machine) -> None:
    cloud = machine("cloud")
    url = "http://127.0.0.1:9443/edge1/default/router-demo/x"
    assert cloud.check_output(f"curl -sS -d y {url}") == "message delivered"
    wrong = "curl -sS -o /dev/null -w '%{http_code}' -d y http://127.0.0.1:9443/edge1/default/nothing"
    assert cloud.check_output(wrong) == "404"


def test_a_node_that_is_away_is_told_and_the_demo_says_so(
    host: Host, machine: Machine, play: Callable[..., tuple[int, str]], eventually: Eventually
) -> None:
    url = "http://127.0.0.1:9443/edge1/default/router-demo/x"
    ask = f"curl -sS -o /dev/null -w '%{{http_code}}' -d y {url}"
    host.check_output("systemctl stop edgecore")
    try:
        eventually(lambda: machine("cloud").check_output(ask) == "503", "503", 30)
        code, text = play(DEMO, {"router_demo_timeout": 1})
        assert code != 0
        assert "have session for node:edge1" in text
    finally:
        host.check_output("systemctl start edgecore")
    eventually(lambda: machine("cloud").check_output(ask) == "200", "200", 60)


def test_without_a_router_the_setting_is_named(play: Callable[..., tuple[int, str]]) -> None:
    code, text = play(DEMO, {"router_demo_url": "http://127.0.0.1:1", "router_demo_timeout": 1})
    assert code != 0
    assert "cloudcore_settings.modules.router.enable" in text
