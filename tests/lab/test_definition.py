"""Marks, addresses and links of a lab. Excludes anything that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from nspawn_lab.cli import root_file_systems
from nspawn_lab.definition import Lab, gateway
from nspawn_lab.shell import LabError

ROOTFS = Path("/cache/rootfs/abc")


def test_the_mark_comes_from_the_checkouts_path() -> None:
    assert Lab(Path("/work/one/.lab")).mark != Lab(Path("/work/two/.lab")).mark
    assert Lab(Path("/work/one/.lab")).mark == Lab(Path("/work/one/.lab")).mark


def test_a_second_lab_of_one_checkout_has_a_mark_of_its_own() -> None:
    assert Lab(Path("/work/one/.lab")).mark != Lab(Path("/work/one/.lab-molecule")).mark


def test_every_name_fits_an_interface() -> None:
    lab = Lab(Path("/work/one/.lab"))
    hosts = lab.plan(
        "10.200.1.0/24", (names := [f"edge{n}" for n in range(90)]), {}, dict.fromkeys(names, ROOTFS)
    )
    assert max(len(host.link) for host in hosts.values()) <= 15
    assert len({host.link for host in hosts.values()}) == 90


def test_addresses_follow_the_order_and_stay_when_hosts_are_added() -> None:
    lab = Lab(Path("/work/one/.lab"))
    first = lab.plan("10.200.1.0/24", ["cloud", "edge1"], {}, {"cloud": ROOTFS, "edge1": ROOTFS})
    assert {name: host.address for name, host in first.items()} == {
        "cloud": "10.200.1.10",
        "edge1": "10.200.1.11",
    }
    second = lab.plan(
        "10.200.1.0/24", ["edge2", "edge1"], first, dict.fromkeys(["edge2", "edge1"], Path("/other"))
    )
    assert second["edge1"] == first["edge1"]
    assert second["edge2"].address == "10.200.1.12"
    assert second["edge2"].rootfs == Path("/other")


def test_a_name_that_is_no_host_name_is_refused() -> None:
    with pytest.raises(LabError, match="Edge_1"):
        Lab(Path("/work/one/.lab")).plan("10.200.1.0/24", ["Edge_1"], {}, {"Edge_1": ROOTFS})


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    hosts = lab.plan("10.200.1.0/24", ["cloud"], {}, {"cloud": ROOTFS})
    lab.save("10.200.1.0/24", hosts)
    assert lab.load() == ("10.200.1.0/24", hosts)


def test_a_lab_that_never_ran_has_no_hosts(tmp_path: Path) -> None:
    assert Lab(tmp_path).load() == (None, {})


def test_the_control_socket_of_a_deep_checkout_still_fits() -> None:
    deep = Lab(Path("/") / ("x" * 100) / ".lab")
    assert len(str(deep.control_path("edge1"))) + 18 <= 107


def test_the_gateway_is_the_first_address() -> None:
    assert gateway("10.200.1.0/24") == "10.200.1.1"


def test_hosts_of_one_lab_may_have_different_root_file_systems() -> None:
    assert root_file_systems(["cloud", "edge1"], ["/a"]) == {"cloud": Path("/a"), "edge1": Path("/a")}
    mixed = root_file_systems(["cloud", "edge1", "edge2"], ["/a", "edge1=/b"])
    assert mixed == {"cloud": Path("/a"), "edge1": Path("/b"), "edge2": Path("/a")}


def test_a_host_without_a_root_file_system_is_named() -> None:
    with pytest.raises(LabError, match="edge2"):
        root_file_systems(["edge1", "edge2"], ["edge1=/b"])
