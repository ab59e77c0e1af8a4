"""What the Vagrant lab builds: a disk that a BIOS boots, names by content, a daemon of its own."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from lab_boxes import disk, docker_image
from lab_boxes.docker_daemon import Daemon
from nspawn_lab.definition import Lab
from nspawn_lab.shell import LabError


def test_the_first_sector_boots_grub_and_names_the_partition(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"\xaa" * (disk.START + 1) * disk.SECTOR)
    disk._make_bootable(image, b"B" * 512, b"CORE")
    written = image.read_bytes()
    assert (written[:440], written[510:512]) == (b"B" * 440, b"\x55\xaa")
    active, kind, first, length = struct.unpack("<B3xB3xII", written[446:462])
    assert (active, kind, first) == (0x80, 0x83, disk.START)
    assert (first + length) * disk.SECTOR == disk.SIZE
    assert written[512:516] == b"CORE"
    assert written[disk.START * disk.SECTOR :] == b"\xaa" * disk.SECTOR


def test_a_grub_that_would_reach_into_the_partition_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"\0" * disk.START * disk.SECTOR)
    with pytest.raises(LabError, match="lie before the partition"):
        disk._make_bootable(image, b"B" * 512, b"C" * (disk.START * disk.SECTOR))
    assert set(image.read_bytes()) == {0}


def test_the_image_s_name_follows_the_packages_and_not_their_order() -> None:
    assert docker_image.name(["a", "b"]) == docker_image.name(["b", "a"])
    assert docker_image.name(["a", "b"]) != docker_image.name(["a", "c"])


def test_a_process_that_is_another_one_now_is_not_taken_for_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(Lab(tmp_path))
    assert daemon.pid() is None
    monkeypatch.setattr(daemon, "pid_file", tmp_path / "pid")
    daemon.pid_file.write_text(str(os.getpid()))
    assert daemon.pid() is None
