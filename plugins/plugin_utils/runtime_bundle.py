"""Build, on the controller, the one file that installs the runtime on a host.

A bundle is an uncompressed tar (wheels are compressed already):

    bundle.json        {"version", "profile", "verify": [module, ...]}
    requirements.txt   the lock and our own wheel, all with hashes
    wheels/*.whl
    installer/pip-*.whl

Everything is kept below the cache directory under names that say what it was made from, so nothing
is made twice, and a lock file makes parallel hosts wait for one another instead of working twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

BASE_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
NEWEST_GLIBC = 45
OLDEST_GLIBC = 5
KEPT = 6
"""Bundles, and wheels of our own, that stay in the cache."""
TIMEOUT = 900
SETUPTOOLS = (70, 1)
"""The first release that builds wheels without the package `wheel`."""
SOURCES = ("pyproject.toml", "src", "locks")
NO_SOURCES = ("__pycache__", ".egg-info")


class BundleError(Exception):
    """The bundle cannot be made; the message names the step and what to do."""


def source_files(source):
    """Files that decide the version, in a fixed order."""
    found = []
    for name in SOURCES:
        top = source / name
        found += [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
    wanted = [p for p in found if p.suffix != ".pyc" and not any(mark in str(p) for mark in NO_SOURCES)]
    if not wanted:
        raise BundleError(f"{source} holds no runtime: expected pyproject.toml, src and locks")
    return wanted


def version_of(source):
    """`<base version>+<12 hex digits>` of the sources' content."""
    digest = hashlib.sha256()
    for path in source_files(source):
        name = str(path.relative_to(source)).encode()
        data = path.read_bytes()
        digest.update(b"%d %s %d " % (len(name), name, len(data)) + data)
    base = BASE_VERSION.search((source / "pyproject.toml").read_text(encoding="utf-8"))
    if base is None:
        raise BundleError(f"{source}/pyproject.toml has no version")
    return f"{base.group(1)}+{digest.hexdigest()[:12]}"


def platforms(python):
    """Platform tags, best first, of wheels that run on a host (`python` as probed there)."""
    machine = python["machine"]
    if python.get("bits") == 32 and machine == "aarch64":
        machine = "armv7l"
    name, release = python["libc"]
    if name != "glibc":
        raise BundleError("no wheels for the C library %r of the host: glibc is needed" % (name or "unknown"))
    newest = min(int(release.split(".")[1]), NEWEST_GLIBC)
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)]
    return [*tags, "manylinux2014_" + machine, "linux_" + machine, "any"]


class Builder:
    """Makes bundles from one source directory into one cache directory."""

    def __init__(self, source, cache, wheelhouse=None, say=lambda text: None):
        self.source = Path(source)
        self.cache = Path(cache).expanduser()
        self.wheelhouse = Path(wheelhouse) if wheelhouse else None
        self.version = version_of(self.source)
        self._say = say

    def bundle(self, profile, python):
        """Path of the bundle for a host. Raises BundleError."""
        python_tag = "cp{}{}".format(*python["version"])
        where = "{}-{}-{}".format(python_tag, python["machine"], "".join(python["libc"]))
        path = self.cache / "bundles" / (f"edgelab-{self.version}-{profile}-{where}.tar")
        with self._only_one(f"bundle-{profile}-{where}"):
            if not path.exists():
                wheels = [self._wheel(), *self._wheelhouse(profile, python_tag, python)]
                pip = self._wheelhouse("installer", python_tag, python)
                self._pack(path, profile, wheels, pip)
                self._prune()
        return path

    @contextlib.contextmanager
    def _only_one(self, name):
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(str(self.cache / (f".{name}.lock")), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _wheel(self):
        """Our own wheel, with the version stamped in."""
        directory = self.cache / "wheels"
        path = directory / (f"edgelab-{self.version}-py3-none-any.whl")
        with self._only_one("wheel"):
            if not path.exists():
                self._say(f"building the wheel of edgelab {self.version}")
                with tempfile.TemporaryDirectory() as scratch:
                    self._build(Path(scratch), path)
        return path

    def _build(self, scratch, path):
        tree = scratch / "source"
        for file in source_files(self.source):
            target = tree / file.relative_to(self.source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file), str(target))
        base = self.version.partition("+")[0]
        for name, text in (
            ("pyproject.toml", 'version = "%s"'),
            ("src/edgelab/__init__.py", '__version__ = "%s"'),
        ):
            stamped = tree / name
            words = stamped.read_text(encoding="utf-8").replace(text % base, text % self.version)
            stamped.write_text(words, encoding="utf-8")
        out = scratch / "out"
        isolation = ["--no-build-isolation"] if _can_build() else []
        self._pip("building the wheel", ["wheel", "--no-deps", *isolation, "-w", str(out), str(tree)])
        built = list(out.glob("edgelab-*.whl"))
        if [wheel.name for wheel in built] != [path.name]:
            raise BundleError(f"building the wheel: got {built} instead of {path.name}")
        _move(built[0], path)

    def _wheelhouse(self, profile, python_tag, python):
        """The wheels that a lock names, for one kind of host."""
        lock = self.source / "locks" / (profile + ".lock")
        if not lock.exists():
            raise BundleError(f"there is no {lock}")
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
        tags = platforms(python)
        key = f"{profile}-{digest}-{python_tag}-{tags[0]}"
        directory = self.cache / "wheelhouse" / key
        with self._only_one("wheelhouse-" + profile):
            if not directory.exists():
                self._say(f"fetching the wheels of {lock.name} for {tags[0]}")
                self._download(lock, python["version"], python_tag, tags, directory)
        return sorted(directory.glob("*.whl"))

    def _download(self, lock, version, python_tag, tags, directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=str(directory.parent), prefix="."))
        command = ["download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
        command += [
            "-d",
            str(scratch),
            "--implementation",
            "cp",
            "--python-version",
            "{}.{}".format(*version),
        ]
        for abi in (python_tag, "abi3", "none"):
            command += ["--abi", abi]
        for tag in tags:
            command += ["--platform", tag]
        if self.wheelhouse:
            command += ["--no-index", "--find-links", str(self.wheelhouse)]
        try:
            self._pip(f"fetching the wheels of {lock.name} for {tags[0]}", command)
            os.replace(str(scratch), str(directory))
        finally:
            shutil.rmtree(str(scratch), ignore_errors=True)

    def _pip(self, step, arguments):
        if _has("pip") is None:
            raise BundleError(f"{step}: {sys.executable} has no pip; install it there")
        command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        if done.returncode:
            words = [line for line in (done.stderr or done.stdout).splitlines() if "ERROR" in line]
            raise BundleError("{}: {}".format(step, " | ".join(words[-3:]) or done.stderr.strip()[-300:]))

    def _pack(self, path, profile, wheels, installer):
        lock = (self.source / "locks" / (profile + ".lock")).read_text(encoding="utf-8")
        own = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        requirements = f"{lock}\nedgelab=={self.version} --hash=sha256:{own}\n"
        manifest = {"version": self.version, "profile": profile, "verify": verify_list(lock)}
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        with tarfile.open(str(scratch), "w") as tar:
            _add(tar, "bundle.json", json.dumps(manifest).encode())
            _add(tar, "requirements.txt", requirements.encode())
            for folder, files in (("wheels", wheels), ("installer", installer)):
                for file in files:
                    _add(tar, f"{folder}/{file.name}", file.read_bytes())
        os.replace(str(scratch), str(path))

    def _prune(self):
        for kind in ("bundles/*.tar", "wheels/*.whl"):
            found = sorted(self.cache.glob(kind), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in found[KEPT:]:
                old.unlink()


def _can_build():
    """Whether this Python builds wheels by itself; else pip fetches a newer setuptools for the moment."""
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:2]) >= SETUPTOOLS


def verify_list(lock):
    """Modules whose import proves the installation, from the line `# verify:` of a lock."""
    found = re.search(r"^# verify: (.+)$", lock, re.MULTILINE)
    if found is None:
        raise BundleError("the lock has no line `# verify:`")
    return found.group(1).split()


def _has(module):
    return importlib.util.find_spec(module)


def _add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(data))


def _move(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    shutil.copyfile(str(path), str(scratch))
    os.replace(str(scratch), str(target))
