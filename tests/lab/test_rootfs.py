"""What decides a root file system, and where its packages come from. Excludes building one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nspawn_lab import emulation, rootfs

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://other.example/apt stable main
deb http://old.example/debian bookworm main
"""


def test_the_order_of_packages_does_not_matter_and_their_names_do() -> None:
    assert rootfs.key(["a", "b"]) == rootfs.key(["b", "a"])
    assert rootfs.key(["a", "b"]) != rootfs.key(["a", "c"])


def test_suites_and_architectures_never_share_a_root_file_system() -> None:
    kinds = [(suite, arch) for suite in ("bookworm", "trixie") for arch in ("amd64", "arm64")]
    assert len({rootfs.key(["a"], *kind) for kind in kinds}) == 4
    assert rootfs.key(["a"]) == rootfs.key(["a"], "bookworm", emulation.native())


def test_a_proxy_of_the_machine_makes_no_other_root_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs.key(["a"])
    monkeypatch.setattr(rootfs, "apt_options", lambda: ['Acquire::http::Proxy "http://proxy.example:3128"'])
    assert rootfs.key(["a"]) == before


def test_what_is_done_to_a_root_file_system_decides_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs.key(["a"])
    monkeypatch.setattr(rootfs, "QUIET_UNITS", ("apt-daily.timer",))
    assert rootfs.key(["a"]) != before


def test_both_formats_of_apt_sources_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822, encoding="utf-8")
    (tmp_path / "sources.list").write_text(ONE_LINE, encoding="utf-8")
    assert list(rootfs.machine_sources(tmp_path)) == [
        ("https://other.example/apt", ["stable"]),
        ("http://old.example/debian", ["bookworm"]),
        ("http://mirror.example/debian", ["bookworm", "bookworm-updates"]),
        ("http://mirror.example/debian-security", ["bookworm-security"]),
    ]


def test_a_built_root_file_system_is_taken_from_the_cache(tmp_path: Path) -> None:
    ready = tmp_path / "rootfs" / rootfs.key(["a"])
    ready.mkdir(parents=True)
    assert rootfs.build(tmp_path, ["a"]) == (ready, False)


def test_two_labs_that_want_the_same_one_at_once_build_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def mmdebstrap(command: list[str], suite: str, target: Path, log: Path, preparation: str = "") -> None:
        time.sleep(0.2)
        target.mkdir()
        built.append(target)

    monkeypatch.setattr(rootfs, "_run", mmdebstrap)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda packages: rootfs.build(tmp_path, packages), [["a"], ["a"], ["b"]]))
    assert sorted(new for _, new in results) == [False, True, True]
    assert results[0][0] == results[1][0]
    assert len(built) == 2


def test_services_that_are_only_preinstalled_are_switched_off() -> None:
    script = "\n".join(rootfs.customization(Path("/x/lab.service")))
    for name in ("containerd", "mosquitto", "victoria-metrics"):
        assert f"disable {name}.service" in script


def test_a_failed_build_names_what_its_log_names(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    assert rootfs.reasons(log) == ""
    log.write_text("Get:1 ...\nextract.sh: 50: dpkg-architecture: not found\nI: x\nE: setup failed\n")
    assert rootfs.reasons(log) == "extract.sh: 50: dpkg-architecture: not found; E: setup failed"
