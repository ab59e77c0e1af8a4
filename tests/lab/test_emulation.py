"""How the kernel learns to run programs of another architecture. Excludes hosts that run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from nspawn_lab import emulation
from nspawn_lab.shell import LabError

AARCH64, X86_64 = 183, 62
MACHINES = {"arm64": AARCH64, "amd64": X86_64}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An x86-64 machine."""
    monkeypatch.setattr(emulation, "native", lambda: "amd64")


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An emulator that was unpacked."""
    path = tmp_path / "qemu-aarch64"
    path.write_bytes(b"an emulator")
    return path


def elf(machine: int) -> bytes:
    """The first 20 bytes of a 64-bit little-endian executable for `machine`."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little")


@pytest.mark.parametrize("name", MACHINES)
def test_the_architecture_is_read_from_the_programs(tmp_path: Path, name: str) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/env").write_bytes(elf(MACHINES[name]))
    assert emulation.architecture_of(tmp_path) == name


def test_the_rule_matches_programs_of_its_architecture_and_no_other() -> None:
    _, _, magic, mask = emulation.RULES["arm64"].split(":")
    wanted, care = (bytes.fromhex(_hex(text)) for text in (magic, mask))

    def matches(program: bytes) -> bool:
        return all(byte & bits == want & bits for byte, bits, want in zip(program, care, wanted, strict=True))

    assert matches(elf(AARCH64))
    assert not matches(elf(X86_64))


def test_a_rule_takes_the_programs_credentials_and_serves_in_every_host(interpreter: Path) -> None:
    commands = emulation.script("arm64", interpreter)
    assert f":{interpreter}:OCPF" in commands
    assert commands.endswith(";")


def test_another_emulator_is_another_rule(interpreter: Path) -> None:
    before = emulation.script("arm64", interpreter)
    interpreter.write_bytes(b"a newer emulator")
    after = emulation.script("arm64", interpreter)
    names = [commands.partition("printf %s ':")[2].partition(":")[0] for commands in (before, after)]
    assert all(name.startswith("edgelab-arm64-") for name in names)
    assert names[0] != names[1]


def test_hosts_of_the_machines_own_architecture_need_nothing(tmp_path: Path) -> None:
    assert emulation.preparation("amd64", tmp_path) == ""
    assert emulation.kit("amd64", "bookworm") == {}
    assert list(emulation.hooks("amd64", tmp_path)) == []


def test_a_kit_has_an_emulator_and_programs_of_the_hosts_own_release() -> None:
    kit = emulation.kit("arm64", "bookworm")
    assert kit["emulator"][:3] == ("qemu-user", "trixie-backports", "amd64")
    assert kit["native"][:3] == ("iptables,nftables,runc", "bookworm", "amd64")


@pytest.mark.parametrize("layout", ["", "usr/"], ids=["Debian 12", "Debian 13"])
def test_a_kit_is_put_where_programs_find_it(tmp_path: Path, layout: str) -> None:
    kit, root = tmp_path / "kit", tmp_path / "root"
    root.mkdir()
    triplet, loader = "x86_64-linux-gnu", "ld-linux-x86-64.so.2"
    for name in (
        "emulator/usr/bin/qemu-aarch64",
        *(f"native/usr/sbin/{name}" for name in ("runc", "nft", "xtables-nft-multi")),
        f"native/{layout}lib/{triplet}/{loader}",
        f"native/usr/lib/{triplet}/libseccomp.so.2.5.4",
        f"native/usr/lib/{triplet}/xtables/libxt_MARK.so",
        f"native/usr/lib/{triplet}/gconv/EBCDIC-UK.so",
    ):
        path = kit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    (kit / f"native/usr/lib/{triplet}/libseccomp.so.2").symlink_to("libseccomp.so.2.5.4")
    for hook in emulation.hooks("arm64", kit):
        subprocess.run(["sh", "-ec", hook, "sh", str(root)], check=True)
    assert os.access(root / emulation.FOLDER / "qemu-aarch64", os.X_OK)
    for name in ("runc", "nft", "iptables", "ip6tables-restore"):
        assert os.access(root / "usr/local/sbin" / name, os.X_OK)
    assert (root / f"usr/lib/{triplet}/xtables/libxt_MARK.so").is_file()
    assert (root / "lib64" / loader).read_text(encoding="utf-8").endswith(loader)
    assert (root / f"usr/lib/{triplet}/libseccomp.so.2").readlink() == Path("libseccomp.so.2.5.4")
    assert not (root / f"usr/lib/{triplet}/gconv").exists()
    assert (root / emulation.DROP_IN).read_text(encoding="utf-8") == emulation.QUIRKS


def test_a_root_file_system_without_its_emulator_is_named(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/env").write_bytes(elf(AARCH64))
    with pytest.raises(LabError, match=r"qemu-aarch64 is missing: .*built again"):
        emulation.enable(tmp_path)


def test_an_architecture_that_cannot_be_had_is_refused_with_those_that_can() -> None:
    with pytest.raises(LabError, match=r"riscv64.*amd64, arm64"):
        emulation.kit("riscv64", "bookworm")


def _hex(text: str) -> str:
    """The bytes of a rule: letters as they are, the others as `\\xNN`."""
    plain = text.encode().decode("unicode_escape")
    return plain.encode("latin-1").hex()
