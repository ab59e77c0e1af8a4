"""A box for libvirt: the local lab's root file system with a kernel and a boot loader, as a qcow2 disk.

The disk has one partition, which `mke2fs -d` fills, so no disk has to be mounted. GRUB lies where it lies on
any BIOS disk: its first sector in the master boot record, the rest in the sectors before the partition
(https://www.gnu.org/software/grub/manual/grub/html_node/BIOS-installation.html).
"""

from __future__ import annotations

import json
import os
import platform
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

from nspawn_lab.shell import LabError, run, say

from lab_boxes import machine

GIB = 1 << 30
SIZE = 16 * GIB
SECTOR = 512
START = 2048
"""First sector of the partition: what lies before it belongs to the boot loader."""
PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "grub-pc-bin",
    "grub-common",
    "ifupdown",
    "isc-dhcp-client",
)
UNMASKED = ("systemd-modules-load.service", "getty@.service")
"""Masked in hosts that share this machine's kernel; a machine with its own needs them."""
MODULES = ("biosdisk", "part_msdos", "ext2", "search", "search_label", "linux", "normal", "serial", "echo")
LABEL = "edgelab"
GRUB = f"""\
serial --unit=0 --speed=115200
terminal_output serial console
search --label {LABEL} --set root
echo "Loading Linux"
linux /vmlinuz root=LABEL={LABEL} ro net.ifnames=0 console=tty0 console=ttyS0,115200 panic=10
initrd /initrd.img
boot
"""
INTERFACES = "auto lo\niface lo inet loopback\n\nallow-hotplug eth0\nauto eth0\niface eth0 inet dhcp\n"
INSTALL = (
    """\
set -eu
root=$1 base=$2 work=$3 image=$4 packages=$5 modules=$6
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"; mount -t sysfs sys "$root/sys"
mount --bind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/run"
rm -f "$root/etc/resolv.conf"; cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
chroot "$root" apt-get -q update
chroot "$root" apt-get -q -y --no-install-recommends install $packages
chroot "$root" grub-mkimage --format=i386-pc --prefix=/boot/grub --config=/boot/edgelab-grub.cfg \\
  --output=/boot/core.img $modules
cp "$root/boot/core.img" "$root/usr/lib/grub/i386-pc/boot.img" "$work/"
cp -L "$root/vmlinuz" "$work/vmlinuz"
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_* "$root/boot/core.img"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
touch -d @0 "$root/var/lib/apt/lists"
: > "$root/etc/machine-id"
umount "$root/proc" "$root/sys" "$root/dev" "$root/run"
mke2fs -q -F -t ext4 -L LABEL -d "$root" -E offset=$((START * 512)),root_owner=0:0 "$image" BLOCKS
""".replace("LABEL", LABEL)
    .replace("START", str(START))
    .replace("BLOCKS", f"{(SIZE - START * SECTOR) // 1024}k")
)


def ensure(cache: Path, packages: list[str], base: Path) -> Path:
    """The box's file.

    Raises:
        LabError: a package, a program or the mirror is missing; the message carries its reason.
    """
    if platform.machine() != "x86_64":
        raise LabError(f"a box can be built for amd64 only, and this machine is {platform.machine()}")
    box = cache / "boxes" / f"debian12-{machine.recipe([*packages, *PACKAGES])}.box"
    if not box.exists():
        say("building a box from Debian packages (once; one or two minutes)")
        box.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=box.parent) as folder:
            _build(Path(folder), base).rename(box)
    return box


def _build(folder: Path, base: Path) -> Path:
    """The finished box file in `folder`."""
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    upper, image, log = folder / "upper", folder / "box.raw", folder.parent / "build.log"
    machine.prepare(upper, base)
    _settle(upper)
    with image.open("wb") as file:
        file.truncate(SIZE)
    words = [str(folder / "root"), str(base), str(folder), str(image), " ".join(PACKAGES), " ".join(MODULES)]
    with log.open("wb") as output:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", INSTALL, "install", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        raise LabError(f"the box could not be made: {'; '.join(tail)} (log: {log})")
    _make_bootable(image, (folder / "boot.img").read_bytes(), (folder / "core.img").read_bytes())
    return _pack(folder, image)


def _settle(root: Path) -> None:
    """What a machine with a kernel and a disk of its own has beside Vagrant's user."""
    files = {
        "boot/edgelab-grub.cfg": GRUB,
        "etc/fstab": f"LABEL={LABEL} / ext4 errors=remount-ro 0 1\n",
        "etc/hostname": "debian\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 debian\n",
        "etc/network/interfaces": INTERFACES,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    units = root / "etc/systemd/system"
    for name in UNMASKED:
        (units / name).unlink(missing_ok=True)
        # In a layer above another one a character device 0:0 stands for "not there".
        os.mknod(units / name, stat.S_IFCHR, os.makedev(0, 0))


def _make_bootable(image: Path, boot: bytes, core: bytes) -> None:
    """Writes GRUB and a partition table with the one partition into the sectors before it.

    Raises:
        LabError: GRUB does not fit.
    """
    if len(core) > (START - 1) * SECTOR:
        raise LabError(f"GRUB has {len(core)} bytes, and {(START - 1) * SECTOR} lie before the partition")
    entry = struct.pack(
        "<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", START, SIZE // SECTOR - START
    )
    with image.open("r+b") as file:
        file.write(boot[:440] + bytes(6) + entry + bytes(48) + b"\x55\xaa" + core)


def _pack(folder: Path, image: Path) -> Path:
    """The box: disk, what Vagrant wants to know of it, and the kernel, by which KVM can be tried."""
    disk, box = folder / "box.img", folder / "debian12.box"
    run(["qemu-img", "convert", "-c", "-O", "qcow2", str(image), str(disk)])
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": SIZE // GIB}
    (folder / "metadata.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    parts = ["metadata.json", "box.img", "vmlinuz"]
    run(["tar", "--create", "--sparse", "-C", str(folder), "-f", str(box), *parts])
    return box
