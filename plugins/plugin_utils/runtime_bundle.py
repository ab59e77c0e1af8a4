"""Build, on the controller, the one file that installs the runtime on a host.

A bundle is an uncompressed tar (wheels are compressed already):

    bundle.json        {"version", "profile", "verify": [module, ...],
                        "leaves_out": [path in the package, ...]}
    requirements.txt   the lock and our own wheel, all with hashes
    wheels/*.whl
    installer/pip-*.whl

A profile may have extras, each with a lock of its own: `edge+modbus`. A host's version then names them too,
since another set of packages lies in another virtual environment.

Everything is kept below the cache directory under names that say what it was made from, so nothing
is made twice, and a lock file makes parallel hosts wait for one another instead of working twice.
"""

from __future__ import annotations

import contextlib
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

from ansible_collections.edgelab.kubeedge.plugins.module_utils.locks import exclusive

BASE_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
NEWEST_GLIBC = 45
OLDEST_GLIBC = 5
KEPT = 6
"""Bundles, and wheels of our own, that stay in the cache."""
TIMEOUT = 900
SETUPTOOLS = (70, 1)
"""The first release that builds wheels without the package `wheel`."""
BUILT = "built.lock"
"""In a wheelhouse: the wheels that were built for it from locked sources, with their hashes."""
ENTRY = re.compile(r"^([A-Za-z0-9._-]+==[^ ;\\\n]+) \\?\n?((?:\s*--hash=\S+(?: \\)?\n?)+)", re.MULTILINE)
NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
EXTRA = re.compile(r"[a-z0-9]+")
"""What an extra is called: a part of a local version (PEP 440)."""
SOURCES = ("pyproject.toml", "src", "locks")
NO_SOURCES = ("__pycache__", ".egg-info")


class BundleError(Exception):
    """The bundle cannot be made; the message names the step and what to do."""


class NoSuchWheel(BundleError):
    """Neither the index nor the wheelhouse has a wheel that fits the host."""


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


def machine_of(python):
    """The machine that wheels are made for: a 32-bit system on a 64-bit kernel is a 32-bit machine."""
    if python.get("bits") == 32 and python["machine"] in ("aarch64", "armv8l"):
        return "armv7l"
    return python["machine"]


def platforms(python):
    """Platform tags, best first, of wheels that run on a host (`python` as probed there)."""
    machine = machine_of(python)
    name, release = python["libc"]
    if name != "glibc":
        raise BundleError("no wheels for the C library %r of the host: glibc is needed" % (name or "unknown"))
    newest = min(int(release.split(".")[1]), NEWEST_GLIBC)
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)]
    return [*tags, "manylinux2014_" + machine, "linux_" + machine, "any"]


class Builder:
    """Makes bundles from one source directory into one cache directory."""

    def __init__(self, source, cache, wheelhouse=None, say=lambda text: None, index_url=None):
        self.source = Path(source)
        self.cache = Path(cache).expanduser()
        self.wheelhouse = Path(wheelhouse).expanduser() if wheelhouse else None
        self.index_url = index_url
        if self.wheelhouse and not self.wheelhouse.is_dir():
            raise BundleError(f"there is no wheelhouse {self.wheelhouse}: make it with playbooks/bundle.yml")
        self.version = version_of(self.source)
        self.say = say

    def installed_version(self, profile):
        """The version as a host has it: `1.0.0+3fb2c19a07de`, with extras `1.0.0+3fb2c19a07de.modbus`."""
        return ".".join([self.version, *profile.split("+")[1:]])

    def bundle(self, profile, python):
        """Path of the bundle for a host. Raises BundleError."""
        python_tag = "cp{}{}".format(*python["version"])
        where = "{}-{}-{}".format(python_tag, machine_of(python), "".join(python["libc"]))
        path = self.cache / "bundles" / f"edgelab-{self.version}-{profile}-{where}.tar"
        with self._only_one(f"bundle-{profile}-{where}"):
            if not path.exists():
                wheels = [self.wheel(), *self.wheels(profile, python)]
                pip = self.wheels("installer", python)
                self._pack(path, profile, wheels, pip)
                self._prune()
        return path

    def _only_one(self, name):
        self.cache.mkdir(parents=True, exist_ok=True)
        return exclusive(self.cache / f".{name}.lock")

    def wheel(self):
        """Our own wheel, with the version stamped in; that of the wheelhouse where it is of this version."""
        name = f"edgelab-{self.version}-py3-none-any.whl"
        if self.wheelhouse and (self.wheelhouse / name).exists():
            return self.wheelhouse / name
        path = self.cache / "wheels" / name
        with self._only_one("wheel"):
            if not path.exists():
                self.say(f"building the wheel of edgelab {self.version}")
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

    def wheels(self, profile, python):
        """The wheels that a lock names, for a host (`python` as probed there). Raises BundleError."""
        lock = self.lock(profile)
        digest = hashlib.sha256(lock.encode()).hexdigest()[:12]
        tags = platforms(python)
        python_tag = "cp{}{}".format(*python["version"])
        key = f"{profile}-{digest}-{python_tag}-{tags[0]}"
        directory = self.cache / "wheelhouse" / key
        with self._only_one("wheelhouse-" + profile):
            if not directory.exists():
                self.say(f"fetching the wheels of {profile}.lock for {tags[0]}")
                self._download(profile, lock, python, directory)
        return sorted(directory.glob("*.whl"))

    def gather(self, profile, python):
        """Wheels of a lock that can be had, and the entries whose wheels cannot. Raises BundleError."""
        lock = self.lock(profile)
        digest = hashlib.sha256(lock.encode()).hexdigest()[:12]
        tag = "cp{}{}".format(*python["version"])
        target = self.cache / "partial" / f"{profile}-{digest}-{tag}-{platforms(python)[0]}" / "wheels"
        target.mkdir(parents=True, exist_ok=True)
        missing = []
        for entry in entries(lock).values():
            try:
                self._fetch(profile, [entry], python, target)
            except NoSuchWheel:
                if entry.name not in optional_list(lock):
                    missing.append(entry)
        if len(missing) == len(entries(lock)):
            raise BundleError(f"fetching the wheels of {profile}.lock: {self._advice()}")
        return sorted(target.glob("*.whl")), missing

    def lock(self, profile):
        """A lock's text, with those of the profile's extras.

        Wheels that were built for this wheelhouse are allowed too, by their own hashes.
        """
        text = joined([self._lock_text(name) for name in profile.split("+")])
        built = self.wheelhouse / BUILT if self.wheelhouse else None
        if built is None or not built.exists():
            return text
        for entry in entries(built.read_text(encoding="utf-8")).values():
            known = entries(text).get(entry.name)
            if known is not None and known.pin == entry.pin:
                text = text.replace(known.text, known.text + " \\\n" + entry.hashes)
        return text

    def _lock_text(self, name):
        path = self.source / "locks" / (name + ".lock")
        if not path.exists():
            raise BundleError(f"there is no {path}")
        return path.read_text(encoding="utf-8")

    def _download(self, profile, lock, python, directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=str(directory.parent), prefix=".") as scratch:
            target = Path(scratch) / "wheels"
            target.mkdir(mode=0o755)
            known, optional = entries(lock), optional_list(lock)
            self._fetch(profile, [e for e in known.values() if e.name not in optional], python, target)
            for name in sorted(optional & set(known)):
                # A faster part that some machines have no wheel for; what is required arrived before it.
                with contextlib.suppress(NoSuchWheel):
                    self._fetch(profile, [known[name]], python, target)
            os.replace(str(target), str(directory))

    def _fetch(self, profile, wanted, python, target):
        tags = platforms(python)
        python_tag = "cp{}{}".format(*python["version"])
        requirements = target.parent / "requirements.txt"
        requirements.write_text("".join(entry.text + "\n" for entry in wanted), encoding="utf-8")
        command = ["download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["-r", str(requirements), "-d", str(target), "--implementation", "cp"]
        command += ["--python-version", "{}.{}".format(*python["version"])]
        for abi in (python_tag, "abi3", "none"):
            command += ["--abi", abi]
        for tag in tags:
            command += ["--platform", tag]
        if self.wheelhouse:
            command += ["--no-index", "--find-links", str(self.wheelhouse)]
        self._pip(f"fetching the wheels of {profile}.lock for {python_tag} on {tags[0]}", command)

    def _pip(self, step, arguments):
        if _has("pip") is None:
            raise BundleError(f"{step}: {sys.executable} has no pip; install it there")
        command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
        # The address may hold a password, so it goes through the environment and out of what pip says.
        environment = dict(os.environ, PIP_INDEX_URL=self.index_url) if self.index_url else None
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT, env=environment
        )
        if done.returncode:
            said = without_passwords(done.stderr or done.stdout)
            words = " | ".join([line for line in said.splitlines() if "ERROR" in line][-3:])
            missing = NO_WHEEL.search(said)
            if missing:
                raise NoSuchWheel(f"{step}: {words}. {self._advice()}")
            raise BundleError(f"{step}: {words or said.strip()[-300:]}")

    def _advice(self):
        if self.wheelhouse:
            return f"{self.wheelhouse} was made for other hosts: run playbooks/bundle.yml for this one too"
        return (
            "The package index cannot be reached (set python_runtime_index_url or artifacts_mirror), "
            "or has no such wheel (make it with playbooks/bundle.yml and set python_runtime_wheelhouse)"
        )

    def _pack(self, path, profile, wheels, installer):
        lock = without_absent(self.lock(profile), wheels)
        own = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        requirements = f"{lock}\nedgelab=={self.version} --hash=sha256:{own}\n"
        version = self.installed_version(profile)
        manifest = {"version": version, "profile": profile, "verify": verify_list(lock)}
        manifest["leaves_out"] = left_out_list(lock)
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


class Entry:
    """One package of a lock: `pin` is name==version, `text` the lines as they stand there."""

    def __init__(self, pin, hashes):
        self.pin, self.hashes = pin, hashes.rstrip()
        self.name = pin.partition("==")[0]
        self.text = f"{pin} \\\n{self.hashes}"


def entries(lock):
    """The packages of a lock by name."""
    return {entry.name: entry for entry in (Entry(*found) for found in ENTRY.findall(lock))}


def with_extras(profile, extras):
    """A profile as `Builder` takes it: `edge`, or with extras `edge+modbus+opcua`. Raises BundleError."""
    wanted = sorted(set(extras or ()))
    wrong = [name for name in wanted if not EXTRA.fullmatch(name)]
    if wrong:
        raise BundleError(f"extras: {', '.join(map(repr, wrong))}: expected names of locks such as modbus")
    if wanted and profile == "cloud":
        raise BundleError("extras: they are for mappers, which need the profile edge or site")
    return "+".join([profile, *wanted])


def joined(locks):
    """Locks as one. Raises BundleError where two pin a package to different versions."""
    text, *others = locks
    for lock in others:
        known, more = entries(text), lock
        for entry in entries(lock).values():
            there = known.get(entry.name)
            if there is None:
                continue
            if there.pin != entry.pin:
                raise BundleError(f"locks: {there.pin} and {entry.pin}: run scripts/build_locks.py")
            more = more.replace(entry.text + "\n", "")
        text = text.rstrip("\n") + "\n" + more
    return text


def optional_list(lock):
    """Packages that a host does without where there is no wheel for it, from lines `# optional:`."""
    return set(" ".join(re.findall(r"^# optional: (.+)$", lock, re.MULTILINE)).split())


def without_absent(lock, wheels):
    """The lock without the optional packages that no wheel is there for."""
    there = {wheel.name.partition("-")[0].lower().replace("_", "-") for wheel in wheels}
    known = entries(lock)
    for name in sorted(optional_list(lock) & set(known)):
        if name not in there:
            lock = lock.replace(known[name].text + "\n", "")
    return lock


def without_passwords(text):
    """`https://user:secret@host` as `https://****@host`."""
    return re.sub(r"(?<=://)[^/@\s]+@", "****@", text)


def verify_list(lock):
    """Modules whose import proves the installation, from the lines `# verify:` of a lock."""
    found = " ".join(re.findall(r"^# verify: (.+)$", lock, re.MULTILINE)).split()
    if not found:
        raise BundleError("the lock has no line `# verify:`")
    return found


def left_out_list(lock):
    """Parts of the runtime that are not installed, as paths in its package, from lines `# leaves out:`."""
    return " ".join(re.findall(r"^# leaves out: (.+)$", lock, re.MULTILINE)).split()


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
