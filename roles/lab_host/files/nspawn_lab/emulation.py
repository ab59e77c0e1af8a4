"""Hosts of another architecture: the kernel hands their programs to QEMU's user-mode emulator.

The kernel is the machine's own and the processor is emulated one process at a time, so such a host stands in
for a board as far as packages, programs and `uname -m` go; it has no board's firmware, clock or speed.

A root file system brings its emulator along, so what a host runs on does not depend on what the machine has
installed. It also brings, of the machine's architecture, programs that speak to the kernel as the emulator
cannot: runc makes containers by a clone(2) that it refuses, iptables and nft use sockets of netfilter that
it does not have. All else, what runs in the containers included, is emulated.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nspawn_lab.shell import LabError, run

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What `uname -m` says, and what Debian calls it."""
ELF_MACHINES = {62: "amd64", 183: "arm64"}
"""Numbers of the ELF header's field e_machine (elf(5))."""
INTERPRETERS = {"arm64": "qemu-aarch64"}
"""The emulator's program, by Debian's name of what it emulates."""
EMULATOR_SUITE = "trixie-backports"
"""Where the emulator comes from. Debian 13 gives services mount namespaces with QEMU 11 (its statx(2)
tells mounts apart), and starts no service at all with 7.2 of Debian 12."""
FOLDER = "usr/lib/edgelab-emulation"
"""Where a root file system keeps its emulator."""
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
DROP_IN = "etc/systemd/system/service.d/50-edgelab-emulation.conf"
QUIRKS = """\
[Service]
LoadCredential=
ImportCredential=
SetCredential=
PrivateNetwork=no
"""
"""What services cannot have in the emulator. Mount namespaces they do have."""
EMULATOR_HOOK = 'install -D -m 755 "{kit}/emulator/usr/bin/{interpreter}" "$1/{folder}/{interpreter}"'
NATIVE_HOOK = """\
# Found before those of the host's architecture, by services too.
for program in runc nft xtables-nft-multi; do
  install -D -m 755 "{kit}/native/usr/sbin/$program" "$1/usr/local/sbin/$program"
done
for name in iptables ip6tables; do
  for suffix in "" -save -restore; do ln -sf xtables-nft-multi "$1/usr/local/sbin/$name$suffix"; done
done
mkdir -p "$1/usr/lib64"
[ -e "$1/lib64" ] || ln -s usr/lib64 "$1/lib64"
# Their libraries go where Debian has them: folders of the machine's architecture, of no other use there.
for source in "{kit}"/native/lib/*-linux-gnu "{kit}"/native/usr/lib/*-linux-gnu; do
  [ -d "$source" ] || continue
  triplet=$(basename "$source")
  mkdir -p "$1/usr/lib/$triplet"
  cp -a "$source"/*.so* "$1/usr/lib/$triplet"
  [ ! -d "$source/xtables" ] || cp -a "$source/xtables" "$1/usr/lib/$triplet"
  for loader in "$1/usr/lib/$triplet"/ld-linux-*; do
    [ ! -e "$loader" ] || ln -sf "../lib/$triplet/$(basename "$loader")" "$1/usr/lib64/"
  done
done
"""
SERVICES_HOOK = """\
mkdir -p "$(dirname "$1/{drop_in}")"
printf %s '{quirks}' > "$1/{drop_in}"
"""


class Part(NamedTuple):
    """A part of the kit: what is unpacked of which packages, with those that they depend on."""

    packages: str
    suite: str
    architecture: str
    programs: str
    """The programs of /usr/bin that are wanted: an emulator's package has one for every processor."""


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


def kit(architecture: str, suite: str) -> dict[str, Part]:
    """What a root file system of `architecture` needs beside its own packages, by the name of its folder.

    Nothing for the machine's own architecture.

    Raises:
        LabError: there is no emulator for `architecture`.
    """
    if not is_foreign(architecture):
        return {}
    if architecture not in RULES:
        known = ", ".join(sorted({native(), *RULES}))
        raise LabError(f"no host of architecture {architecture} can be made here: use one of {known}")
    return {
        "emulator": Part("qemu-user", EMULATOR_SUITE, native(), INTERPRETERS[architecture]),
        "native": Part("iptables,nftables,runc", suite, native(), ""),
    }


def preparation(architecture: str, folder: Path) -> str:
    """Shell commands, each with its `;`, before programs of `architecture` run with the kit in `folder`."""
    if not is_foreign(architecture):
        return ""
    return script(architecture, folder / "emulator/usr/bin" / INTERPRETERS[architecture])


def hooks(architecture: str, folder: Path) -> Iterator[str]:
    """Shell lines that put the kit in `folder` into the finished root file system, whose path is `$1`."""
    if is_foreign(architecture):
        interpreter = INTERPRETERS.get(architecture, "")
        yield EMULATOR_HOOK.format(kit=folder, interpreter=interpreter, folder=FOLDER)
        yield NATIVE_HOOK.format(kit=folder)
        yield SERVICES_HOOK.format(drop_in=DROP_IN, quirks=QUIRKS)


def enable(rootfs: Path) -> None:
    """Lets the kernel run the programs of `rootfs` while the caller's mounts live (see `script`)."""
    architecture = architecture_of(rootfs)
    if is_foreign(architecture):
        run(["sh", "-ec", script(architecture, rootfs / FOLDER / INTERPRETERS.get(architecture, ""))])


def script(architecture: str, interpreter: Path) -> str:
    """Shell commands, each with its `;`, that let the kernel run programs of `architecture`.

    The registration lives as long as a mount of binfmt_misc does. A caller with a mount namespace of its own
    therefore leaves nothing behind on a machine that has none mounted.

    Raises:
        LabError: the emulator is not there.
    """
    if not interpreter.is_file():
        raise LabError(
            f"{interpreter} is missing: remove the root file system that it is of, it is built again"
        )
    # Rules that are there already may be of an older emulator: the kernel takes the newest rule that matches.
    digest = hashlib.sha256(interpreter.read_bytes()).hexdigest()[:8]
    name = f"edgelab-{architecture}-{digest}"
    rule = f":{name}:{RULES[architecture]}:{interpreter}:{FLAGS}"
    return (
        f"[ -e {REGISTRY}/register ] || mount -n -t binfmt_misc binfmt_misc {REGISTRY};"
        # Two hosts may start at once: a rule that is there already is as good as one's own.
        f" [ -e {REGISTRY}/{name} ] || printf %s '{rule}' > {REGISTRY}/register || [ -e {REGISTRY}/{name} ];"
    )
