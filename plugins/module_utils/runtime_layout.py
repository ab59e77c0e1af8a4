"""Where versions of the runtime lie on a host, and how one becomes the current one.

<root>/venvs/<version>/           one virtual environment each; `.complete` is written last
<root>/current -> venvs/<version> flipped in one rename(2)
<root>/previous -> venvs/<version>
"""

from __future__ import annotations

import os
import shutil

COMPLETE = ".complete"


class Layout:
    """The directory tree below `root`."""

    def __init__(self, root):
        self.root = root
        self.venvs = os.path.join(root, "venvs")

    def venv(self, version):
        """Directory of a version."""
        return os.path.join(self.venvs, version)

    def linked(self, name):
        """The version that the link `current` or `previous` names; None without one."""
        try:
            target = os.readlink(os.path.join(self.root, name))
        except OSError:
            return None
        return os.path.basename(target)

    def is_complete(self, version):
        """Whether a version was installed to its end."""
        return bool(version) and os.path.exists(os.path.join(self.venv(version), COMPLETE))

    def versions(self):
        """Versions that are installed, the one installed last first."""
        try:
            names = os.listdir(self.venvs)
        except OSError:
            return []
        marks = {name: os.path.join(self.venv(name), COMPLETE) for name in names}
        found = [name for name in names if os.path.exists(marks[name])]
        return sorted(found, key=lambda name: (-os.stat(marks[name]).st_mtime_ns, name))

    def activate(self, version):
        """Make a version current, remembering the one it replaces."""
        before = self.linked("current")
        if before == version:
            return
        if before and self.is_complete(before):
            self._link("previous", before)
        self._link("current", version)

    def roll_back(self, version):
        """Make an earlier version current; what is left is not offered as previous again."""
        self._link("current", version)
        if self.linked("previous") == version:
            os.unlink(os.path.join(self.root, "previous"))

    def _link(self, name, version):
        path = os.path.join(self.root, name)
        fresh = f"{path}.{os.getpid()}"
        if os.path.lexists(fresh):
            os.unlink(fresh)
        os.symlink(os.path.join("venvs", version), fresh)
        os.replace(fresh, path)

    def prune(self, keep):
        """Delete all but the `keep` versions installed last; current and previous always stay."""
        kept = {self.linked("current"), self.linked("previous")}
        gone = [version for version in self.versions() if version not in kept]
        room = max(0, keep - len([version for version in kept if version]))
        for version in gone[room:]:
            self.remove(version)
        return gone[room:]

    def remove(self, version):
        """Delete one version."""
        shutil.rmtree(self.venv(version), ignore_errors=True)

    def remove_all(self):
        """Delete everything below the root."""
        shutil.rmtree(self.root)
