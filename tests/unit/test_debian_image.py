"""debian_image: archives from real Debian packages, made here with dpkg-deb; nothing is downloaded."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "collections"))

from ansible_collections.edgelab.kubeedge.plugins.module_utils import (  # noqa: E402 - needs the path above
    oci_archive,
    oci_elf,
    oci_packages,
    oci_pause,
    oci_recipes,
)
from ansible_collections.edgelab.kubeedge.plugins.modules import debian_image  # noqa: E402 - likewise

REFERENCE = "edgelab.local/tool:1"


def make_package(directory: Path, name: str, files: dict[str, str | bytes]) -> oci_packages.Package:
    root = directory / f"{name}-root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: t <t@example.org>\nDescription: t\n"
    )
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.symlink_to(content)
        else:
            target.write_bytes(content)
            target.chmod(0o755 if "/bin/" in f"/{path}" else 0o644)
    package = oci_packages.Package(name, "1.0", "amd64", "")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(root), str(directory / package.filename)],
        check=True,
        capture_output=True,
    )
    return package


class Shelf:
    """A mirror whose packages lie in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fetch(self, package: oci_packages.Package) -> Path:
        return self.directory / package.filename


def read_archive(data: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]  # files have streams
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    config = json.loads(files["blobs/sha256/" + manifest["config"]["digest"][7:]])
    layer = gzip.decompress(files["blobs/sha256/" + manifest["layers"][0]["digest"][7:]])
    return {"files": files, "index": index, "manifest": manifest, "config": config, "layer": layer}


def build(
    tmp_path: Path, recipe: oci_recipes.Recipe, packages: list[oci_packages.Package]
) -> oci_archive.Image:
    found = {package.name: package for package in packages}
    return oci_recipes.build(recipe, "amd64", REFERENCE, found, Shelf(tmp_path))


def test_archive_is_identical_when_built_twice(tmp_path: Path) -> None:
    package = make_package(tmp_path, "tool", {"usr/bin/tool": b"#!/bin/sh\n", "etc/tool.conf": b"x"})
    recipe = oci_recipes.Recipe(packages=["tool"], entrypoint=["/usr/bin/tool"])
    first, digest = build(tmp_path, recipe, [package]).archive()
    second, again = build(tmp_path, recipe, [package]).archive()
    assert first == second
    assert digest == again


def test_archive_speaks_oci_layout_and_docker_save(tmp_path: Path) -> None:
    data, digest = build(tmp_path, oci_recipes.Recipe(entrypoint=["/x"], files={"x": "hello"}), []).archive()
    parts = read_archive(data)
    descriptor = parts["index"]["manifests"][0]
    assert json.loads(parts["files"]["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert descriptor["digest"] == digest
    assert descriptor["annotations"]["io.containerd.image.name"] == REFERENCE
    assert parts["config"]["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(parts["layer"]).hexdigest()]
    for name, content in parts["files"].items():
        if name.startswith("blobs/"):
            assert name == "blobs/sha256/" + hashlib.sha256(content).hexdigest()
    docker = json.loads(parts["files"]["manifest.json"])[0]
    assert docker["RepoTags"] == [REFERENCE]
    assert {docker["Config"], *docker["Layers"]} <= set(parts["files"])


def test_only_needed_libraries_of_dependencies_are_taken(tmp_path: Path) -> None:
    true = Path("/bin/true").read_bytes()
    wants = oci_elf.needs(true)
    assert wants is not None
    libc = Path(
        subprocess.check_output(["sh", "-c", "ldd /bin/true | grep -o '/[^ ]*libc.so.6'"], text=True).strip()
    )
    triplet = libc.parent.name
    tool = make_package(tmp_path, "tool", {"bin/tool": true, "usr/share/man/man1/tool.1": b"manual"})
    library = make_package(
        tmp_path,
        "libc6",
        {
            f"lib/{triplet}/libc.so.6": libc.read_bytes(),
            f"lib/{triplet}/libunused.so.1": b"not needed",
            wants.loader.lstrip("/"): Path(wants.loader).read_bytes(),
            "usr/share/doc/libc6/copyright": b"LGPL",
        },
    )
    image = build(tmp_path, oci_recipes.Recipe(packages=["tool"]), [tool, library])
    paths = set(image.tree.entries)
    assert f"usr/lib/{triplet}/libc.so.6" in paths
    assert oci_archive.merged(wants.loader) in paths
    assert "usr/share/doc/libc6/copyright" in paths
    assert not {path for path in paths if "unused" in path or path.endswith("tool.1")}
    assert image.tree.entries["usr/bin/tool"].mode == 0o755


def test_missing_library_is_named(tmp_path: Path) -> None:
    tool = make_package(tmp_path, "tool", {"bin/tool": Path("/bin/true").read_bytes()})
    with pytest.raises(oci_packages.PackageError, match=r"libc\.so\.6"):
        build(tmp_path, oci_recipes.Recipe(packages=["tool"]), [tool])


def test_nginx_recipe_logs_to_the_container_and_stays_in_the_foreground() -> None:
    recipe = oci_recipes.known()["nginx"]
    assert recipe.links["var/log/nginx/access.log"] == "/dev/stdout"
    assert recipe.links["var/log/nginx/error.log"] == "/dev/stderr"
    assert "daemon off;" in recipe.cmd
    assert "root /usr/share/nginx/html;" in recipe.files["etc/nginx/sites-enabled/default"]


@pytest.mark.parametrize(("arch", "machine", "wide"), [("amd64", 62, 2), ("arm64", 183, 2), ("armhf", 40, 1)])
def test_pause_is_a_static_program_of_its_architecture(arch: str, machine: int, wide: int) -> None:
    program = oci_pause.pause_program(arch)
    assert program[4] == wide
    assert int.from_bytes(program[18:20], "little") == machine
    assert oci_elf.needs(program) == ("", [])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is run on its own architecture")
def test_pause_waits_through_sigchld_and_ends_on_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    path.write_bytes(oci_pause.pause_program("amd64"))
    path.chmod(0o755)
    with subprocess.Popen([str(path)]) as process:
        status = Path(f"/proc/{process.pid}/status")
        for _attempt in range(500):
            if "SigBlk:\t0000000000014002" in status.read_text():
                break
        process.send_signal(17)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.terminate()
        assert process.wait(5) == 0


def params(tmp_path: Path, **more: Any) -> dict[str, Any]:
    base = {"name": "pause", "reference": "edgelab.local/pause:3.9", "dest": str(tmp_path / "pause.tar")}
    unset = dict.fromkeys(("packages", "entrypoint", "cmd", "cache_dir"))
    return {**unset, "arch": "amd64", **base, **more}


def test_second_run_changes_nothing_and_a_new_reference_does(tmp_path: Path) -> None:
    first = debian_image.ensure(params(tmp_path), check_mode=False)
    second = debian_image.ensure(params(tmp_path), check_mode=False)
    third = debian_image.ensure(params(tmp_path, reference="other/pause:1"), check_mode=False)
    assert (first["changed"], second["changed"], third["changed"]) == (True, False, True)
    assert first["digest"] == second["digest"]
    assert second["diff"]["before"] == second["diff"]["after"] != ""
    assert "-reference: edgelab.local/pause:3.9" not in second["diff"]["before"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    result = debian_image.ensure(params(tmp_path), check_mode=True)
    assert result["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_damaged_archive_is_built_again(tmp_path: Path) -> None:
    good = debian_image.ensure(params(tmp_path), check_mode=False)
    path = tmp_path / "pause.tar"
    data = path.read_bytes()
    at = data.index(b"\x1f\x8b") + 20
    path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    repaired = debian_image.ensure(params(tmp_path), check_mode=False)
    assert repaired["changed"] is True
    assert repaired["digest"] == good["digest"]
    assert path.read_bytes() == data


def test_unknown_name_without_packages_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="packages is needed"):
        debian_image.ensure(params(tmp_path, name="mystery"), check_mode=False)
