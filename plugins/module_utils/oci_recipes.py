# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""What goes into an image: the recipes known by name, and how packages become a file tree."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.edgelab.kubeedge.plugins.module_utils import oci_elf, oci_packages, oci_wheels
from ansible_collections.edgelab.kubeedge.plugins.module_utils.oci_archive import Entry, Image, Tree, merged
from ansible_collections.edgelab.kubeedge.plugins.module_utils.oci_pause import pause_program

FORMAT = 1
"""Raised when the same recipe and packages give another image than before."""

SKIPPED = (
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/bash-completion/",
    "usr/share/vim/",
    "usr/share/doc/",
    "usr/lib/systemd/",
    "etc/init.d/",
    "etc/logrotate.d/",
    "etc/ufw/",
    "etc/cron",
)
"""Not needed to run a program; licences (usr/share/doc/*/copyright) are kept all the same."""

USERS = """root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUPS = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"

# IPv4 only: a pod's network need not have IPv6. The page is the one nginx itself ships.
NGINX_SITE = """server {
    listen 80 default_server;
    root /usr/share/nginx/html;
    index index.html;
}
"""

APPLETS = """
[ [[ adjtimex ar arch arp arping ascii ash awk base64 basename bc blkdiscard blockdev bunzip2 bzcat bzip2
cal cat chgrp chmod chown chroot clear cmp cp cpio crc32 cut date dc dd devmem df diff dirname dmesg
dnsdomainname dos2unix du echo ed egrep env expand expr factor fallocate false fatattr fgrep find fold free
ftpget ftpput getopt grep groups gunzip gzip head hexdump hostid hostname httpd id ifconfig ionice ip ipcalc
ipneigh kill killall last less link ln logger login logname ls lzcat lzma md5sum microcom mkdir mkfifo mknod
mkpasswd mktemp more mount mv nameif nc netstat nl nologin nproc nslookup od paste patch pidof ping ping6
printf ps pwd readlink realpath renice reset rev rm rmdir route sed seq setpriv setsid sh sha1sum sha256sum
sha3sum sha512sum shred shuf sleep sort ssl_client stat strings stty su sync sysctl tac tail tar tee telnet
test tftp time timeout top touch tr traceroute traceroute6 true truncate ts tty umount uname uncompress
unexpand uniq unix2dos unlink unlzma unxz unzip uptime usleep uudecode uuencode vi watch wc wget which who
whoami xargs xxd xz xzcat yes zcat
"""


@dataclass
class Recipe:
    """How an image is made. `files`: path -> text; `links`: path -> target; `directories`: path -> mode.

    `wheels`: paths of Python wheels on this machine; `libraries`: packages of which only the shared libraries
    that something needs are taken, beside those that `packages` depend on; `env`: variables beside PATH.
    """

    packages: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    user: str = ""
    stop_signal: str = ""
    pause: bool = False
    wheels: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """The `config` object of the OCI image configuration."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables = [f"{name}={value}" for name, value in sorted(self.env.items())]
        config: dict[str, Any] = {"Env": [path, *variables], "WorkingDir": "/"}
        optional = {
            "Entrypoint": self.entrypoint,
            "Cmd": self.cmd,
            "ExposedPorts": {port: {} for port in self.ports},
            "User": self.user,
            "StopSignal": self.stop_signal,
        }
        return {**config, **{key: value for key, value in optional.items() if value}}


def known() -> dict[str, Recipe]:
    """The recipes that go by an image's name alone."""
    return {
        "pause": Recipe(entrypoint=["/pause"], user="65535:65535", pause=True),
        "busybox": Recipe(
            packages=["busybox-static"],
            cmd=["sh"],
            links={f"usr/bin/{applet}": "busybox" for applet in APPLETS.split()},
        ),
        "nginx": Recipe(
            packages=["nginx", "nginx-common"],
            entrypoint=["/usr/sbin/nginx"],
            cmd=["-g", "daemon off;"],
            files={"etc/nginx/sites-enabled/default": NGINX_SITE},
            links={"var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr"},
            ports=["80/tcp"],
            stop_signal="SIGQUIT",
        ),
    }


def input_hash(recipe: Recipe, arch: str, reference: str, packages: dict[str, oci_packages.Package]) -> str:
    """A hash of everything that decides how the archive looks."""
    facts = {
        "format": FORMAT,
        "arch": arch,
        "reference": reference,
        "recipe": {**asdict(recipe), "wheels": oci_wheels.digests(recipe.wheels)},
        "packages": {name: package.sha256 for name, package in packages.items()},
        "pause": pause_program(arch).hex() if recipe.pause else "",
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def versions(packages: dict[str, oci_packages.Package]) -> str:
    """`name=version` of all packages, in one line."""
    return " ".join(f"{name}={package.version}" for name, package in packages.items())


def build(
    recipe: Recipe,
    arch: str,
    reference: str,
    packages: dict[str, oci_packages.Package],
    mirror: oci_packages.Mirror | None,
) -> Image:
    """Make the image. Raises PackageError when a package or a library cannot be had."""
    tree = Tree()
    if recipe.pause:
        tree.file("pause", pause_program(arch), 0o755)
    if recipe.packages and mirror is not None:
        _base(tree)
        for name in recipe.packages:
            _unpack(tree, mirror, packages[name])
        for wheel in recipe.wheels:
            oci_wheels.unpack(tree, wheel)
        _add_libraries(tree, mirror, [p for n, p in packages.items() if n not in recipe.packages])
    for path, mode in recipe.directories.items():
        tree.put(path, Entry(mode))
    for path, text in recipe.files.items():
        tree.file(path, text.encode())
    for path, target in recipe.links.items():
        tree.link(path, target)
    inputs = input_hash(recipe, arch, reference, packages)
    return Image(reference, arch, tree, recipe.config(), inputs, versions(packages))


def _base(tree: Tree) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.put(f"usr/{name}", Entry(0o755))
        tree.link(name, f"usr/{name}")
    for path, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("run", 0o755), ("root", 0o700)):
        tree.put(path, Entry(mode))
    tree.link("var/run", "/run")
    tree.file("etc/passwd", USERS.encode())
    tree.file("etc/group", GROUPS.encode())


def _unpack(tree: Tree, mirror: oci_packages.Mirror, package: oci_packages.Package) -> None:
    for path, entry in _files(mirror, package):
        if not path.startswith(SKIPPED) or path.endswith("/copyright"):
            tree.put(path, entry)


def _files(mirror: oci_packages.Mirror, package: oci_packages.Package) -> list[tuple[str, Entry]]:
    found: dict[str, Entry] = {}
    for member, content in oci_packages.members(mirror.fetch(package)):
        path = merged(member.name.lstrip("."))
        if member.issym():
            found[path] = Entry(0o777, None, member.linkname)
        elif member.islnk():
            found[path] = found[merged(member.linkname.lstrip("."))]
        elif member.isreg():
            found[path] = Entry(member.mode & 0o7777, content)
        elif member.isdir() and path not in ("", "bin", "sbin", "lib", "lib64"):
            found[path] = Entry(member.mode & 0o7777)
    return list(found.items())


def _add_libraries(tree: Tree, mirror: oci_packages.Mirror, packages: list[oci_packages.Package]) -> None:
    """Add the shared libraries that the tree's programs need, and nothing else of their packages."""
    shelf = Tree()
    origin: dict[str, str] = {}
    for package in packages:
        for path, entry in _files(mirror, package):
            shelf.put(path, entry)
            origin[path] = package.name
    queue = [entry.content for entry in tree.entries.values() if entry.content]
    while queue:
        wants = oci_elf.needs(queue.pop())
        if wants is None:
            continue
        for name in [*wants.libraries, *([wants.loader] if wants.loader else [])]:
            queue += _take(tree, shelf, origin, name)


def _take(tree: Tree, shelf: Tree, origin: dict[str, str], name: str) -> list[bytes]:
    """Copy one library (by soname or path) with the links that lead to it; gives its content if it is new."""
    where = merged(name) if "/" in name else ""
    matches = [
        path
        for path in (*tree.entries, *sorted(shelf.entries))
        if path == where or (not where and path.startswith("usr/lib") and path.rpartition("/")[2] == name)
    ]
    if not matches:
        raise oci_packages.PackageError(f"no package that was named depends on the library {name}")
    path = matches[0]
    if path in tree.entries:
        return []
    content = shelf.read(path)
    if content is None:
        raise oci_packages.PackageError(f"{path} is a link to nowhere")
    tree.file(path, content, 0o755)
    licence = f"usr/share/doc/{origin[path]}/copyright"
    if (text := shelf.read(licence)) is not None:
        tree.file(licence, text)
    return [content]
