# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""A flat Debian repository in one tar file: packages with all they depend on, for hosts without a network.

apt resolves and checks the packages with lists, status and configuration of its own, for any suite and any
architecture; the machine's packages play no part. https://wiki.debian.org/DebianRepository/Format#Flat_Repository_Format
"""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.module_utils import fetching

RETRIES = 3
RELEASE = "Release"


class RepositoryError(Exception):
    """The repository cannot be made; the text names the source or package and what to do."""


class Apt:
    """apt with a root of its own below `directory`, for one architecture and a list of sources."""

    def __init__(self, directory, arch, sources):
        self.directory, self.arch, self.sources = Path(directory), arch, sources
        self.absent = []
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise RepositoryError(f"{tool} is missing here: make bundles on Debian or Ubuntu")
        for name in ("lists/partial", "archives/partial", "nothing/partial", "parts"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()

    def update(self):
        """Read the package lists; what need not be there and cannot be read is noted in `absent`."""
        if not self._try(self.sources):
            return
        usable = []
        for source in self.sources:
            reason = self._try([source])
            if reason and source.get("required", True):
                raise RepositoryError(
                    f"{_shown(source)} cannot be read: {reason}. Is the mirror right (bundle_debian_mirror, "
                    "bundle_repositories), and has it this suite and architecture?"
                )
            if reason:
                self.absent.append({"what": _shown(source), "reason": reason})
            else:
                usable.append(source)
        reason = self._try(usable)
        if reason:
            raise RepositoryError(f"the package sources cannot be read: {reason}")

    def download(self, names):
        """Files of the packages and of all they depend on, checked by apt. Raises RepositoryError."""
        archives = self.directory / "archives"
        # What is in the archives already is not printed, so it looks into an empty directory instead.
        empty = f"Dir::Cache::archives={self.directory}/nothing"
        known = self._run("looking packages up", "-o", empty, "--print-uris", "install", *names)
        wanted = re.findall(r"^'[^']+' (\S+) \d+", known, re.MULTILINE)
        for path in archives.glob("*.deb"):
            if path.name not in wanted:
                path.unlink()
        self._run("downloading packages", "--download-only", "install", *names)
        return sorted(archives / name for name in wanted)

    def available(self, names):
        """Those of `names` that the sources have."""
        command = ["apt-cache", *self._options(), "pkgnames"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        known = set(done.stdout.split())
        return [name for name in names if name in known]

    def _try(self, sources):
        """Why sources cannot be read; empty when they can. A mirror in the middle of its update gets time."""
        self._write(sources)
        reason = ""
        for _attempt in range(RETRIES):
            try:
                self._run("reading the package lists", "--error-on=any", "update")
            except RepositoryError as error:
                reason = str(error).partition(": ")[2]
            else:
                return ""
        return reason

    def _write(self, sources):
        stanzas = []
        for source in sources:
            fields = {
                "Types": "deb",
                "URIs": source["uri"],
                "Suites": source["suite"],
                "Components": source.get("components", "main"),
                "Architectures": self.arch,
                "Signed-By": source.get("signed_by") or "/usr/share/keyrings/debian-archive-keyring.gpg",
            }
            if source["suite"].endswith("/"):
                del fields["Components"]
            stanzas.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
        (self.directory / "parts" / "bundle.sources").write_text("\n".join(stanzas), encoding="utf-8")

    def _options(self):
        base = self.directory
        settings = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": f"{base}/parts",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::Lists": f"{base}/lists",
            "Dir::State::status": f"{base}/status",
            "Dir::State::extended_states": f"{base}/extended_states",
            "Dir::Cache": str(base),
            "Dir::Cache::archives": f"{base}/archives",
            "APT::Architecture": self.arch,
            "APT::Architectures": self.arch,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def _run(self, step, *arguments):
        command = ["apt-get", "--quiet", "--yes", *self._options(), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            words = [line[3:] for line in done.stderr.splitlines() if line.startswith("E: ")]
            raise RepositoryError(f"{step}: {' | '.join(words[:3]) or done.stderr.strip()[-300:]}")
        return done.stdout


def write(dest, packages, suite, arch):
    """Write the repository as one tar; the same packages give the same file. Gives the Release's SHA-256."""
    index = "\n".join(_stanza(path) for path in packages).encode()
    members = {"Packages": index, "Packages.gz": gzip.compress(index, mtime=0)}
    release = _release(members, suite, arch, max((path.stat().st_mtime for path in packages), default=0))
    members[RELEASE] = release
    dest.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=str(dest.parent), prefix=f".{dest.name}.")
    os.close(handle)
    try:
        with tarfile.open(name, "w") as tar:
            for path in packages:
                _add(tar, path.name, path.stat().st_size, path.open("rb"))
            for member, data in members.items():
                _add(tar, member, len(data), io.BytesIO(data))
        os.chmod(name, 0o644)
        os.replace(name, dest)
    except BaseException:
        Path(name).unlink()
        raise
    return hashlib.sha256(release).hexdigest()


def release_of(dest):
    """SHA-256 of the Release in a repository's tar; empty without one."""
    try:
        with tarfile.open(str(dest)) as tar:
            member = tar.extractfile(RELEASE)
            return hashlib.sha256(member.read()).hexdigest() if member else ""
    except (OSError, KeyError, tarfile.TarError):
        return ""


def versions(packages):
    """Versions by package name, from the files' names."""
    words = [path.name.split("_") for path in packages]
    return dict(sorted((name, version.replace("%3a", ":")) for name, version, _arch in words))


def _stanza(path):
    done = subprocess.run(["dpkg-deb", "--field", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RepositoryError(f"{path} is no readable Debian package")
    control = done.stdout.rstrip("\n")
    size, digest = path.stat().st_size, fetching.sha256(path)
    return f"{control}\nFilename: ./{path.name}\nSize: {size}\nSHA256: {digest}\n"


def _release(members, suite, arch, moment):
    # apt wants a date; that of the newest package keeps the file the same as long as the packages are.
    date = email.utils.formatdate(moment, usegmt=True).replace("GMT", "UTC")
    head = f"Origin: edgelab\nLabel: edgelab bundle\nSuite: {suite}\nCodename: {suite}\nDate: {date}\n"
    head += f"Architectures: {arch} all\nSHA256:\n"
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in members.items()]
    return (head + "".join(lines)).encode()


def _add(tar, name, size, stream):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    with stream:
        tar.addfile(entry, stream)


def _shown(source):
    return f"{fetching.without_password(source['uri'])} {source['suite']}"


def _environment():
    return dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
