# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Debian packages from the controller's mirrors: looked up, downloaded, read; never installed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ansible_collections.edgelab.kubeedge.plugins.module_utils.locks import exclusive

LIBRARY = re.compile(r"(lib|zlib)[a-z0-9.+-]*\d")
"""Names of packages that hold shared libraries (Debian Policy 8.1: the soname's number is in the name)."""


class PackageError(Exception):
    """A package cannot be had; the text names the cause and what to do."""


@dataclass(frozen=True)
class Package:
    """The mirror's newest version of a package."""

    name: str
    version: str
    arch: str
    sha256: str
    depends: tuple[str, ...] = field(default=())

    @property
    def filename(self) -> str:
        """As `apt-get download` names it."""
        return f"{self.name}_{quote(self.version, safe='+~.-')}_{self.arch}.deb".replace("%3A", "%3a")


class Mirror:
    """Packages of one architecture. `directory` keeps downloads, and lists if the machine's do not serve."""

    def __init__(self, arch: str, directory: Path) -> None:
        self.arch = arch
        self.directory = directory
        for tool in ("apt-get", "apt-cache", "dpkg-deb", "dpkg"):
            if shutil.which(tool) is None:
                raise PackageError(
                    f"{tool} is not installed here; images from Debian packages are built on a Debian or "
                    "Ubuntu controller (elsewhere set artifacts_image_source: registry)"
                )
        self._native = _run(["dpkg", "--print-architecture"]).strip() == arch
        self._options = [] if self._native else self._private_lists()

    def lookup(self, names: list[str]) -> dict[str, Package]:
        """The packages and, recursively, the library packages they depend on, sorted by name."""
        found: dict[str, Package] = {}
        wanted, required = list(dict.fromkeys(names)), set(names)
        while wanted:
            level = self._show(wanted)
            missing = sorted(required.intersection(wanted).difference(level))
            if missing and not self._options:
                # The machine's own lists may be empty (a fresh container): use lists of our own.
                self._options = self._private_lists()
                continue
            if missing:
                raise PackageError(f"no such package on the mirror for {self.arch}: {', '.join(missing)}")
            found.update(level)
            names_next = {name for package in level.values() for name in package.depends}
            wanted = sorted(n for n in names_next if LIBRARY.match(n) and n not in found)
        return dict(sorted(found.items()))

    def fetch(self, package: Package) -> Path:
        """The package's file, downloaded unless it is there, its SHA-256 checked."""
        self.directory.mkdir(parents=True, exist_ok=True)
        # apt-get writes into files that it does not lock.
        with exclusive(self.directory):
            return self._fetch(package)

    def _fetch(self, package: Package) -> Path:
        path = self.directory / package.filename
        if path.exists() and _sha256(path) == package.sha256:
            return path
        command = ["apt-get", "-q", *self._options, "-o", "APT::Sandbox::User=root", "download"]
        try:
            _run([*command, f"{package.name}={package.version}"], cwd=self.directory)
        except PackageError as error:
            hint = "" if not self._native else " (if the mirror has moved on: apt-get update)"
            raise PackageError(f"{error}{hint}") from None
        if not path.exists() or _sha256(path) != package.sha256:
            raise PackageError(f"{path} did not arrive with the checksum that the mirror's index states")
        return path

    def _show(self, names: list[str]) -> dict[str, Package]:
        text = _run(["apt-cache", *self._options, "show", "--no-all-versions", *names], accept=(0, 100))
        packages = (_parse(stanza) for stanza in text.split("\n\n") if "\nFilename: " in stanza)
        return {package.name: package for package in packages}

    def _private_lists(self) -> list[str]:
        root = self.directory / f"apt-{self.arch}"
        (root / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (root / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        settings = {
            "Dir::State::Lists": str(root / "lists"),
            "Dir::State::status": str(root / "status"),
            "Dir::Cache": str(root / "cache"),
            "APT::Architecture": self.arch,
            "APT::Architectures": self.arch,
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        with exclusive(root):
            if not list((root / "lists").glob("*Packages*")):
                _run(["apt-get", "-q", *options, "-o", "APT::Sandbox::User=root", "update"])
        return options


def members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The files of a package with their contents (empty for everything but regular files)."""
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(path)],
        capture_output=True,
        check=False,
    )
    if unpacked.returncode:
        raise PackageError(f"{path} is no readable Debian package")
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            yield member, stream.read() if stream else b""


def _parse(stanza: str) -> Package:
    fields = {}
    for line in stanza.splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line.startswith(" "):
            fields[key] = value
    depends = ", ".join(fields[key] for key in ("Pre-Depends", "Depends") if key in fields)
    names = (re.split(r"[ (:|]", part.strip(), maxsplit=1)[0] for part in depends.split(",") if part.strip())
    return Package(
        fields["Package"],
        fields["Version"],
        fields["Architecture"],
        fields.get("SHA256", ""),
        tuple(dict.fromkeys(names)),
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _run(command: list[str], *, cwd: Path | None = None, accept: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
    )
    if done.returncode not in accept:
        lines = done.stderr.strip().splitlines() or ["no message"]
        cause = next((line for line in lines if line.startswith("E: ")), lines[-1])
        raise PackageError(f"{command[0]} {command[-1]} failed: {cause.removeprefix('E: ')}")
    return done.stdout
