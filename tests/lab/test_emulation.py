"""How the kernel learns to run programs of another architecture. Excludes hosts that run."""

from __future__ import annotations

from pathlib import Path

import pytest
from nspawn_lab import emulation
from nspawn_lab.shell import LabError

AARCH64, X86_64 = 183, 62
MACHINES = {"arm64": AARCH64, "amd64": X86_64}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An x86-64 machine with the emulator installed."""
    interpreter = tmp_path / "qemu-aarch64-static"
    interpreter.touch()
    monkeypatch.setattr(emulation, "native", lambda: "amd64")
    monkeypatch.setattr(emulation, "INTERPRETERS", {"arm64": interpreter})
    return interpreter


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


def test_a_rule_takes_the_programs_credentials_and_serves_in_every_host(machine: Path) -> None:
    commands = emulation.script("arm64")
    assert f":{machine}:OCPF" in commands
    assert commands.endswith(";")


def test_hosts_of_the_machines_own_architecture_need_nothing() -> None:
    assert emulation.script("amd64") == ""
    assert list(emulation.quirks("amd64")) == []


def test_a_missing_emulator_is_named_with_the_package_that_has_it(machine: Path) -> None:
    machine.unlink()
    with pytest.raises(LabError, match="qemu-user-static"):
        emulation.script("arm64")


def test_an_architecture_that_cannot_be_had_is_refused_with_those_that_can() -> None:
    with pytest.raises(LabError, match=r"riscv64.*amd64, arm64"):
        emulation.script("riscv64")


def _hex(text: str) -> str:
    """The bytes of a rule: letters as they are, the others as `\\xNN`."""
    plain = text.encode().decode("unicode_escape")
    return plain.encode("latin-1").hex()
