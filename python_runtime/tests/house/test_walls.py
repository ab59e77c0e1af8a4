"""The walls of the house: which room may import which.

Covers every import statement below src/edgelab (relative ones and those inside functions too) and
the imports of the Ansible plugins. Excludes imports made by name at run time (importlib), which
the house does not use.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGE = CHECKOUT / "python_runtime" / "src" / "edgelab"
PLUGINS = CHECKOUT / "plugins"

FLOORS = {
    "daemon": 1,
    "protocol": 1,
    "objects": 1,
    "settings": 1,
    "identity": 1,
    "data": 1,
    "kube": 2,
    "cri": 2,
    "cloudcore": 3,
    "edgecore": 3,
    "edgesite": 3,
    "edgemesh": 3,
    "mappers": 3,
    "twinexporter": 3,
    "console": 3,
    "keadm": 4,
}
SELF_CONTAINED = {"daemon", "protocol", "objects"}
FORBIDDEN = {("edgecore", "kube")}
SAME_FLOOR_BELOW = {1}
"""On floor 1, `settings` and `identity` may use their neighbours; higher floors may not."""
NO_IO = {"asyncio", "socket", "ssl", "sqlite3", "subprocess", "http", "urllib", "aiohttp", "websockets"}


def imported(path: Path, package: str) -> Iterator[str]:
    """Dotted names that a file imports; relative imports are resolved against `package`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    """The package a file belongs to, as a dotted name."""
    return ".".join(("edgelab", *path.parent.relative_to(PACKAGE).parts))


def room_of(dotted: str) -> str | None:
    """The room of `edgelab.<room>...`; None for anything that is no room of ours."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "edgelab" and len(parts) > 1 and parts[1] in FLOORS else None


def violation(room: str, target: str) -> str | None:
    """Why `room` must not import `target`, or None."""
    if room == target:
        return None
    if room in SELF_CONTAINED:
        return f"{room} imports nothing else of ours"
    if (room, target) in FORBIDDEN:
        return f"{room} never imports {target}"
    if FLOORS[target] < FLOORS[room]:
        return None
    if FLOORS[target] == FLOORS[room] and FLOORS[room] in SAME_FLOOR_BELOW:
        return None
    return f"{room} (floor {FLOORS[room]}) must not import {target} (floor {FLOORS[target]})"


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(FLOORS), f"rooms without a floor: {sorted(rooms - set(FLOORS))}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_keep_the_walls(path: Path) -> None:
    room = room_of(package_of(path) + ".x")
    found = set(imported(path, package_of(path)))
    assert not any(name.split(".")[0] in {"ansible", "ansible_collections"} for name in found)
    if room is None:
        return
    targets = {target for name in found if (target := room_of(name))}
    broken = sorted(filter(None, (violation(room, target) for target in targets)))
    assert not broken


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.name)
def test_what_stands_beside_the_rooms_imports_nothing_of_ours(path: Path) -> None:
    assert not any(name.split(".")[0] == "edgelab" for name in imported(path, "edgelab"))


@pytest.mark.parametrize("room", ["protocol", "objects"])
def test_the_wire_and_the_objects_do_no_io(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name == "__main__.py" or path.name.endswith(("_pb2.py", "_grpc.py")):
            continue
        tops = {name.split(".")[0] for name in imported(path, package_of(path))}
        assert not tops & NO_IO, f"{path.relative_to(PACKAGE)} does I/O"


EXTRAS = {
    "aioquic": ("quic", {"cloudcore/cloudhub", "edgecore/edgehub"}),
    "aiomysql": ("mysql", {"mappers/sdk/push"}),
    "psycopg": ("postgresql", {"twinexporter"}),
    "redis": ("redis", {"mappers/sdk/push"}),
}
"""Optional packages; what the names of files that import them begin with, and the folders of these."""


@pytest.mark.parametrize("package", EXTRAS)
def test_what_a_setting_needs_is_imported_by_its_own_files_alone(package: str) -> None:
    users = {
        path.relative_to(PACKAGE)
        for path in SOURCES
        if package in {name.split(".")[0] for name in imported(path, package_of(path))}
    }
    begin, folders = EXTRAS[package]
    assert {str(path.parent) for path in users} == folders
    assert all(path.name.startswith(begin) for path in users)


@pytest.mark.parametrize("package", EXTRAS)
def test_what_a_setting_needs_is_not_loaded_without_it(package: str) -> None:
    code = (
        "import sys, edgelab.cloudcore.app, edgelab.edgecore.app, edgelab.edgecore.edgehub.hub,"
        "edgelab.twinexporter.app, edgelab.edgecore.edgehub.connection, edgelab.keadm.__main__,"
        "edgelab.mappers.sdk.app\n"
        f"sys.exit({package!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_plugins_never_import_the_runtime() -> None:
    for path in sorted(PLUGINS.rglob("*.py")):
        tops = {name.split(".")[0] for name in imported(path, "plugins")}
        assert "edgelab" not in tops, f"{path} imports the runtime; run `keadm --output json` instead"


def test_the_guard_sees_relative_and_nested_imports(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("def f():\n    from ..kube import client\n    import edgelab.keadm\n")
    names = set(imported(source, "edgelab.edgecore"))
    assert {"edgelab.kube", "edgelab.keadm"} <= names
    assert violation("edgecore", "kube")
    assert violation("cloudcore", "edgecore")
    assert violation("protocol", "daemon")
    assert violation("cloudcore", "kube") is None


def test_files_stay_small() -> None:
    for path in SOURCES:
        if path.name.endswith(("_pb2.py", "_grpc.py")):
            continue
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 800, path
