"""Build wheels in a root file system of another suite or architecture, on the controller.

The root file system comes from mmdebstrap. For another architecture the kernel is told of qemu's interpreter
(binfmt_misc, flag F: it is opened now, so it need not be inside), unless somebody has told it already.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
PACKAGES = "ca-certificates,gcc,libc6-dev,libffi-dev,libpython3-dev,python3,python3-distutils"
NATIVE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
QEMU = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "arm"}
ELF = {"amd64": (2, 0x3E), "arm64": (2, 0xB7), "armhf": (1, 0x28)}
"""Class (1 for 32, 2 for 64 bits) and machine of an ELF header, see elf(5)."""
TIMEOUT = 3600


class ForeignError(Exception):
    """A wheel cannot be built; the message names the step and what to do."""


def binfmt_line(arch, interpreter):
    """What /proc/sys/fs/binfmt_misc/register takes (binfmt-misc.rst in the kernel's documentation)."""
    bits, machine = ELF[arch]
    magic = [0x7F, 0x45, 0x4C, 0x46, bits, 1, 1, *[0] * 9, 2, 0, machine, 0]
    mask = [*[0xFF] * 7, 0, *[0xFF] * 8, 0xFE, 0xFF, 0xFF, 0xFF]
    words = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
    return f":qemu-{QEMU[arch]}:M::{words[0]}:{words[1]}:{interpreter}:OCPF"


class ForeignRoot:
    """A root file system with a C compiler and Python, made once and kept in the cache."""

    def __init__(self, cache, suite, arch, mirror, say=lambda text: None):
        self.path = Path(cache) / "foreign" / f"{suite}-{arch}"
        self.suite, self.arch, self.mirror, self._say = suite, arch, mirror, say

    def prepare(self):
        """Make it, unless it is there. Raises ForeignError."""
        if os.getuid() != 0:
            raise ForeignError("building wheels in a root file system takes root: run the playbook as root")
        if NATIVE.get(platform.machine()) != self.arch:
            self._register()
        if not self.path.is_dir():
            self._bootstrap()
        for name in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
            if Path(name).exists():
                shutil.copyfile(name, str(self.path) + name)

    def build(self, requirements, tools, pip, target, index_url=None):
        """Build the wheels of `requirements` (text with hashes) with `tools` (likewise) into `target`."""
        scratch = Path(tempfile.mkdtemp(dir=str(self.path), prefix="build-"))
        try:
            shutil.copyfile(str(pip), str(scratch / pip.name))
            for name, text in (("requirements.txt", requirements), ("tools.txt", tools)):
                (scratch / name).write_text(text, encoding="utf-8")
            inside = "/" + scratch.name
            path = f"{inside}/{pip.name}"
            install = ["install", "--target", f"{inside}/tools", "--only-binary", ":all:"]
            self._pip(path, [*install, "-r", f"{inside}/tools.txt"], index_url)
            wheel = [
                "wheel",
                "--no-build-isolation",
                "-w",
                f"{inside}/out",
                "-r",
                f"{inside}/requirements.txt",
            ]
            self._pip(f"{path}:{inside}/tools", wheel, index_url)
            built = sorted((scratch / "out").glob("*.whl"))
            target.mkdir(parents=True, exist_ok=True)
            for file in built:
                shutil.copyfile(str(file), str(target / file.name))
        finally:
            shutil.rmtree(str(scratch), ignore_errors=True)
        return [target / file.name for file in built]

    def _pip(self, python_path, arguments, index_url):
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": python_path,
            "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        if index_url:
            environment["PIP_INDEX_URL"] = index_url
        command = [
            "chroot",
            str(self.path),
            "python3",
            "-m",
            "pip",
            *arguments,
            "--no-deps",
            "--require-hashes",
        ]
        self._run(f"pip {arguments[0]} for {self.suite} {self.arch}", command, environment)

    def _bootstrap(self):
        self._say(f"making a root file system of {self.suite} for {self.arch} to build wheels in (minutes)")
        if shutil.which("mmdebstrap") is None:
            raise ForeignError("mmdebstrap is missing here: apt install mmdebstrap")
        draft = self.path.with_suffix(".partial")
        shutil.rmtree(str(draft), ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        packages = PACKAGES if self.suite == "bookworm" else PACKAGES.replace(",python3-distutils", "")
        # A mount namespace of its own: mount(8) would leave notes in this machine's /run.
        command = ["unshare", "--mount", "sh", "-c", 'mount -n -t tmpfs tmpfs /run && exec "$@"', "sh"]
        command += [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--arch={self.arch}",
            "--skip=check/qemu",
        ]
        command += ["--format=directory", "--aptopt=APT::Install-Recommends false", f"--include={packages}"]
        hooks = Path("/usr/share/mmdebstrap/hooks/eatmydata")
        if hooks.is_dir():
            command.append(f"--hook-dir={hooks}")
        self._run("mmdebstrap", [*command, self.suite, str(draft), self.mirror], dict(os.environ))
        draft.rename(self.path)

    def _register(self):
        name = QEMU[self.arch]
        if not (BINFMT / "register").exists():
            self._run("mounting binfmt_misc", ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)])
        if (BINFMT / f"qemu-{name}").exists():
            return
        line = binfmt_line(self.arch, self._qemu(name))
        try:
            (BINFMT / "register").write_text(line, encoding="ascii")
        except FileExistsError:
            return  # somebody else was faster
        except OSError as error:
            raise ForeignError(
                f"the kernel does not take qemu for {self.arch} (binfmt_misc): {error}"
            ) from None

    def _qemu(self, name):
        """The static interpreter: the machine's, or one unpacked from its package into the cache."""
        program = f"qemu-{name}-static"
        found = shutil.which(program)
        if found:
            return found
        directory = self.path.parent / "qemu"
        if not (directory / "usr" / "bin" / program).exists():
            directory.mkdir(parents=True, exist_ok=True)
            fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "qemu-user-static"]
            self._run("fetching qemu-user-static", fetch, cwd=directory)
            package = next(directory.glob("qemu-user-static_*.deb"))
            self._run("unpacking qemu-user-static", ["dpkg-deb", "-x", str(package), str(directory)])
            package.unlink()
        return str((directory / "usr" / "bin" / program).resolve())

    def _run(self, step, command, environment=None, cwd=None):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT, env=environment, cwd=cwd
        )
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            telling = [line for line in lines if line.startswith("E:") or "rror" in line] or lines
            raise ForeignError(f"{step}: {' | '.join(telling[-3:])}")
