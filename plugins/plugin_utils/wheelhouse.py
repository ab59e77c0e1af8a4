"""A directory with all wheels that many kinds of hosts need, those that no index has included."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import runtime_bundle
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.foreign_root import ForeignRoot
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import BundleError, NoSuchWheel

PYTHONS = {
    "bookworm": ((3, 11), "2.36"),
    "noble": ((3, 12), "2.39"),
    "trixie": ((3, 13), "2.41"),
}
"""Python and glibc of a suite."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l"}
BUILDABLE = {"bookworm", "trixie"}
"""Suites of the Debian mirror, whose root file systems wheels can be built in."""


def python_of(target):
    """A target's Python as edge_runtime would probe it there. Raises BundleError."""
    suite, arch = target["suite"], target["arch"]
    if suite not in PYTHONS or arch not in MACHINES:
        raise BundleError(
            f"bundle_targets: no wheels are known for {suite} {arch}; suites: {', '.join(PYTHONS)}; "
            f"architectures: {', '.join(MACHINES)}"
        )
    version, glibc = PYTHONS[suite]
    bits = 32 if arch == "armhf" else 64
    return {"version": list(version), "machine": MACHINES[arch], "libc": ["glibc", glibc], "bits": bits}


class Wheelhouse:
    """Fills `dest`; afterwards `changed`, `built` and `absent` say what happened."""

    def __init__(self, builder, dest, mirror, build=True):
        self._builder, self._mirror, self._build = builder, mirror, build
        self.dest = Path(dest)
        self.built, self.absent, self.changed = {}, [], False
        self._kept = {runtime_bundle.BUILT}

    def fill(self, targets, profiles):
        """Bring all wheels of all targets, remove what belongs to none. Raises BundleError, ForeignError."""
        self.dest.mkdir(parents=True, exist_ok=True)
        pythons = [(target, python_of(target)) for target in targets]
        self._take(self._builder.wheel())
        for target, python in pythons:
            for profile in [*profiles, "installer"]:
                self._fill(target, python, profile)
        self._write_lock()
        for path in self.dest.iterdir():
            if path.name not in self._kept:
                path.unlink()
                self.changed = True

    def _fill(self, target, python, profile):
        try:
            for wheel in self._builder.wheels(profile, python):
                self._take(wheel)
        except NoSuchWheel as error:
            if not (self._build and target["suite"] in BUILDABLE):
                why = "" if self._build else " and building is switched off"
                self.absent.append(
                    {
                        "what": f"runtime profile {profile} for {target['suite']} {target['arch']}",
                        "reason": f"{error}{why}",
                    }
                )
                return
            for wheel in self._mixed(target, python, profile):
                self._take(wheel)

    def _mixed(self, target, python, profile):
        """Wheels of the index where it has them, the others built."""
        found, missing = self._builder.gather(profile, python)
        made = []
        for entry in missing:
            wheels = self._made(target, python, entry)
            self.built[wheels[0].name] = (entry.pin, digest_of(wheels[0]))
            made += wheels
        return [*found, *made]

    def _made(self, target, python, entry):
        """The wheel of one package, built once for a target."""
        digest = hashlib.sha256(entry.text.encode()).hexdigest()[:12]
        directory = self._builder.cache / "built" / f"{target['suite']}-{target['arch']}" / digest
        there = sorted(directory.glob("*.whl"))
        if there:
            return there
        root = ForeignRoot(
            self._builder.cache, target["suite"], target["arch"], self._mirror, self._builder.say
        )
        root.prepare()
        self._builder.say(f"building {entry.pin} for {target['suite']} {target['arch']}")
        # pip is pure Python: the one for hosts of this suite runs in the root file system too.
        pip = next(wheel for wheel in self._builder.wheels("installer", python))
        tools = self._builder.lock("build")
        return root.build(entry.text + "\n", tools, pip, directory, self._builder.index_url)

    def _take(self, wheel):
        target = self.dest / wheel.name
        self._kept.add(wheel.name)
        if target.exists() and digest_of(target) == digest_of(wheel):
            return
        shutil.copyfile(str(wheel), str(target))
        self.changed = True

    def _write_lock(self):
        hashes = {}
        for pin, digest in self.built.values():
            hashes.setdefault(pin, []).append(digest)
        text = "# Built from the locked sources, for hosts that the index has no wheel for.\n"
        for pin, digests in sorted(hashes.items()):
            text += f"{pin} \\\n" + " \\\n".join(f"    --hash=sha256:{d}" for d in sorted(digests)) + "\n"
        path = self.dest / runtime_bundle.BUILT
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            self.changed = True


def digest_of(path):
    """SHA-256 of a wheel."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
