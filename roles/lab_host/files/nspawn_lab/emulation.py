"""Hosts of another architecture: the kernel hands their programs to QEMU's user-mode emulator.

The kernel is the machine's own and the processor is emulated one process at a time, so such a host stands in
for a board as far as packages, programs and `uname -m` go; it has no board's firmware, clock or speed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nspawn_lab.shell import LabError, run

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What `uname -m` says, and what Debian calls it."""
ELF_MACHINES = {62: "amd64", 183: "arm64"}
"""Numbers of the ELF header's field e_machine (elf(5))."""
INTERPRETERS = {"arm64": Path("/usr/bin/qemu-aarch64-static")}
REGISTRY = Path("/proc/sys/fs/binfmt_misc")
RULES = {
    # ELF, 64 bits, little endian, executable or shared object, machine 183 (AArch64). The flags: F opens the
    # interpreter now, so that it serves inside hosts; P and O keep the program's own name and file; C takes
    # the program's credentials, or sudo would not become root (kernel, admin-guide/binfmt-misc.rst).
    "arm64": (
        r"M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    ),
}
FLAGS = "OCPF"
QUIRKS = r"""
for unit in $(grep -lE '^(Load|Import|Set)Credential' "$1"/usr/lib/systemd/system/*.service); do
  folder="$1/etc/systemd/system/$(basename "$unit").d"
  mkdir -p "$folder"
  printf '[Service]\nLoadCredential=\nImportCredential=\nSetCredential=\n' > "$folder/edgelab-emulation.conf"
done
"""
"""systemd makes a credentials folder by system calls that the emulator does not have."""


def native() -> str:
    """Debian's name of this machine's architecture."""
    machine = os.uname().machine
    return MACHINES.get(machine, machine)


def architecture_of(rootfs: Path) -> str:
    """Debian's name of the architecture that the programs of a root file system are made for."""
    with (rootfs / "usr/bin/env").open("rb") as program:
        header = program.read(20)
    machine = int.from_bytes(header[18:20], "little")
    return ELF_MACHINES.get(machine, f"ELF machine {machine}")


def is_foreign(architecture: str) -> bool:
    """Whether programs of `architecture` need the emulator here."""
    return architecture != native()


def quirks(architecture: str) -> Iterator[str]:
    """Shell lines for the finished root file system (`$1`) of a host of `architecture`."""
    if is_foreign(architecture):
        yield QUIRKS


def script(architecture: str) -> str:
    """Shell commands, each with its `;`, that let the kernel run programs of `architecture`.

    The registration lives as long as a mount of binfmt_misc does. A caller with a mount namespace of its own
    therefore leaves nothing behind on a machine that has none mounted.

    Raises:
        LabError: the emulator is not installed, or there is none for `architecture`.
    """
    if not is_foreign(architecture):
        return ""
    if architecture not in RULES:
        known = ", ".join(sorted({native(), *RULES}))
        raise LabError(f"no host of architecture {architecture} can be made here: use one of {known}")
    interpreter = INTERPRETERS[architecture]
    if not interpreter.exists():
        raise LabError(f"hosts of {architecture} need {interpreter}: apt-get install qemu-user-static")
    name = f"edgelab-{architecture}"
    rule = f":{name}:{RULES[architecture]}:{interpreter}:{FLAGS}"
    return (
        f"[ -e {REGISTRY}/register ] || mount -n -t binfmt_misc binfmt_misc {REGISTRY};"
        # Two hosts may start at once: a rule that is there already is as good as one's own.
        f" [ -e {REGISTRY}/{name} ] || printf %s '{rule}' > {REGISTRY}/register || [ -e {REGISTRY}/{name} ];"
    )


def enable(architecture: str) -> None:
    """Lets the kernel run programs of `architecture` while the caller's mounts live (see `script`)."""
    commands = script(architecture)
    if commands:
        run(["sh", "-ec", commands])
