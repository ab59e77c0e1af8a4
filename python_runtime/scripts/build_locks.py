"""Regenerate locks/*.lock: what a host installs, exactly, with the hash of every wheel.

Usage: `python scripts/build_locks.py [NAME ...]` (needs `uv`, which uses the index of its own settings).
A lock is a pip requirements file for `--no-deps --require-hashes`. Its first lines tell the Ansible
module edge_runtime which imports prove that the installation works, and what of the runtime is not installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[1] / "locks"
OLDEST_PYTHON = "3.11"

COMMON = ["cryptography", "msgspec", "PyYAML", "typer<0.21", "websockets"]
"""typer before 0.21 neither wants pydantic nor, without its rich output, rich."""
EDGE = ["grpclib", "h11", "paho-mqtt", "protobuf"]
CLOUD = ["aiohttp", "h11", "psycopg>=3.2,<4", "uvloop"]
PROFILES = {
    "edge": COMMON + EDGE,
    "cloud": COMMON + CLOUD,
    "site": COMMON + EDGE + CLOUD,
    "installer": ["pip"],
    "build": ["Cython", "setuptools", "setuptools-scm", "wheel"],
}
"""The last two are for the controller: pip for hosts, and what builds wheels that the index lacks."""

EXTRAS = {
    "modbus": ["pymodbus>=3.10,<4", "pyserial>=3.5,<4"],
    "opcua": ["asyncua>=1.1,<2"],
    "push": ["aiohttp>=3.9,<4", "aiomysql>=0.3,<1", "redis>=5.0.1,<9"],
}
"""What some mappers need beside the profile `edge`. Their locks keep to the versions of `site`, which
has those of the edge and of the cloud, for a host of either may have them."""

OPTIONAL = {"uvloop"}
"""The extra `speed`: left out on hosts that the index has no wheel for, such as 32-bit ARM."""

LEFT_OUT = {"rich", "pygments", "markdown-it-py", "mdurl", "pycparser", "tzdata"}
"""Pulled in by typer and cffi, which work without them as we use them: 14 MB that no host needs;
by psycopg on Windows."""

EDGE_IMPORTS = [
    "edgelab.edgecore.__main__",
    "edgelab.keadm.__main__",
    "edgelab.identity.__main__",
    "edgelab.edgecore.app",
    "edgelab.edgecore.edged",
    "edgelab.edgecore.edgehub",
    "edgelab.edgecore.eventbus",
    "edgelab.mappers.cpu_temperature.app",
    "cryptography.x509",
]
CLOUD_IMPORTS = [
    "edgelab.cloudcore.__main__",
    "edgelab.edgesite.__main__",
    "edgelab.keadm.__main__",
    "edgelab.cloudcore.app",
    "edgelab.edgesite.app",
    "edgelab.edgesite.apiserver.relay.connections",
    "edgelab.twinexporter.app",
    "edgelab.console.app",
]
IMPORTS = {
    "edge": EDGE_IMPORTS,
    "cloud": CLOUD_IMPORTS,
    "site": EDGE_IMPORTS + CLOUD_IMPORTS,
    "installer": ["pip"],
    "build": ["setuptools"],
    "modbus": ["pymodbus", "serial"],
    "opcua": ["asyncua"],
    "push": ["aiohttp>=3.9,<4", "aiomysql", "redis"],
}

LEAVES_OUT = {"edge": ["edgesite", "console", "twinexporter", "data/apis", "data/rbac"]}
"""Parts of the runtime that a host of the profile has no packages to run: a tenth of what it holds."""

ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)[^\\\n]*\\?\n((?:    --hash=.*\n)+)", re.MULTILINE)


def resolve(roots: list[str], kept: Collection[str] = ()) -> str:
    """All packages that `roots` need, pinned as in `kept`, with the hashes of every file of the version."""
    uv = shutil.which("uv") or sys.exit("build_locks: uv is missing: pip install uv")
    command = [
        uv,
        "pip",
        "compile",
        "-",
        "--generate-hashes",
        "--universal",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as constraints:
        constraints.write("\n".join(kept))
        constraints.flush()
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*command, "--python-version", OLDEST_PYTHON, "--constraints", constraints.name],
            input="\n".join(roots),
            text=True,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"build_locks: {done.stderr.strip()}")
    return done.stdout + "\n"


def lock(name: str) -> str:
    """The text of one lock file."""
    is_extra = name in EXTRAS
    there = pins("edge") if is_extra else {}
    found = resolve(EXTRAS[name], pins("site").values()) if is_extra else resolve(PROFILES[name])
    entries = [
        f"{package}=={version} \\\n{hashes}"
        for package, version, hashes in ENTRY.findall(found)
        if package.lower() not in LEFT_OUT and package not in there
    ]
    header = (
        "# Written by scripts/build_locks.py; install with: pip install --no-deps --require-hashes -r\n"
        f"# verify: {' '.join(IMPORTS[name])}\n"
    )
    optional = sorted(package for package in OPTIONAL if f"\n{package}==" in "\n" + "".join(entries))
    if optional:
        header += f"# optional: {' '.join(optional)}\n"
    if name in LEAVES_OUT:
        header += f"# leaves out: {' '.join(LEAVES_OUT[name])}\n"
    return header + "".join(entries)


def pins(name: str) -> dict[str, str]:
    """`name==version` of a lock that was written, by name."""
    text = (LOCKS / f"{name}.lock").read_text(encoding="utf-8")
    return {package: f"{package}=={version}" for package, version, _ in ENTRY.findall(text)}


def main() -> None:
    """Write every lock file, or those that the command line names."""
    LOCKS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*PROFILES, *EXTRAS]:
        path = LOCKS / f"{name}.lock"
        path.write_text(lock(name), encoding="utf-8")
        print(f"{path.name}: {path.read_text().count('==')} packages")


if __name__ == "__main__":
    main()
