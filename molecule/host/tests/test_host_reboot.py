"""What the next boot brings, and what is there after a firewall has loaded its rules again."""

from __future__ import annotations

from typing import Any

import pytest

FIREWALLS = ("cloud1", "cloud2", "cloud3", "cloud4")
PLAY = """
- hosts: cloud
  gather_facts: false
  tasks:
    - ansible.builtin.reboot:
"""


@pytest.fixture(scope="module", autouse=True)
def rebooted(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab.play(tmp_path_factory.mktemp("reboot"), PLAY)


@pytest.mark.parametrize("name", FIREWALLS)
def test_the_hub_can_be_reached_still(lab: Any, name: str) -> None:
    assert lab.reached(name) == lab.wanted(name)


def test_nftables_lets_it_in_after_its_own_rules_were_loaded_again(lab: Any) -> None:
    lab.host("cloud1").check_output("systemctl reload nftables.service")
    assert lab.reached("cloud1") == lab.wanted("cloud1")


def test_firewalld_does_too(lab: Any) -> None:
    lab.host("cloud3").check_output("firewall-cmd --reload")
    assert lab.reached("cloud3") == lab.wanted("cloud3")
