"""runtime_image: what it asks debian_image for, and how wheels become files. Nothing is downloaded."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "collections"))

from ansible_collections.edgelab.kubeedge.plugins.action import runtime_image  # noqa: E402 - needs the path above
from ansible_collections.edgelab.kubeedge.plugins.module_utils import (  # noqa: E402 - likewise
    oci_archive,
    oci_recipes,
    oci_wheels,
)

VERSION = "1.0.0+3fb2c19a07de"


def wheel(directory: Path, files: dict[str, str], name: str = "thing-1-py3-none-any.whl") -> Path:
    path = directory / name
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return path


def test_modules_of_a_wheel_go_where_debians_python_looks(tmp_path: Path) -> None:
    files = {
        "thing/__init__.py": "x = 1",
        "thing-1.dist-info/METADATA": "Name: thing",
        "thing-1.data/purelib/more.py": "y = 2",
        "thing-1.data/scripts/thing": "#!python",
    }
    tree = oci_archive.Tree()
    oci_wheels.unpack(tree, str(wheel(tmp_path, files)))
    found = {path: entry.content for path, entry in tree.entries.items() if entry.content is not None}
    assert found == {
        f"{oci_wheels.SITE}/thing/__init__.py": b"x = 1",
        f"{oci_wheels.SITE}/thing-1.dist-info/METADATA": b"Name: thing",
        f"{oci_wheels.SITE}/more.py": b"y = 2",
    }


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "x-1.data/purelib/../../../a"])
def test_a_wheel_does_not_leave_its_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="outside of it"):
        oci_wheels.unpack(oci_archive.Tree(), str(wheel(tmp_path, {name: "root::0:0"})))


def test_what_is_no_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "torn.whl"
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"torn\.whl is no wheel"):
        oci_wheels.unpack(oci_archive.Tree(), str(path))


def test_another_wheel_makes_another_image_wherever_it_lies(tmp_path: Path) -> None:
    def inputs(path: Path) -> str:
        recipe = oci_recipes.Recipe(wheels=[str(path)])
        return oci_recipes.input_hash(recipe, "amd64", "edgelab.local/x:1", {})

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = wheel(tmp_path / "a", {"thing.py": "x = 1"})
    moved = tmp_path / "b" / first.name
    moved.write_bytes(first.read_bytes())
    assert inputs(first) == inputs(moved)
    assert inputs(first) != inputs(wheel(tmp_path / "b", {"thing.py": "x = 2"}))


def test_the_image_is_python_of_the_suite_the_wheels_and_nobody_as_user(tmp_path: Path) -> None:
    options = {
        "program": "cloudcore",
        "repository": "edgelab.local/cloudcore",
        "dest": "/x/cloudcore.tar",
        "arch": "arm64",
        "cache_dir": str(tmp_path),
    }
    asked = runtime_image.recipe(options, VERSION, "trixie", [tmp_path / "edgelab.whl"])
    assert asked["reference"] == "edgelab.local/cloudcore:1.0.0-3fb2c19a07de"
    assert asked["packages"] == ["python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib"]
    assert asked["entrypoint"] == ["/usr/bin/python3.13", "-m", "edgelab.cloudcore"]
    assert asked["user"] == "65532:65532"
    assert asked["wheels"] == [str(tmp_path / "edgelab.whl")]
    recipe = oci_recipes.Recipe(entrypoint=asked["entrypoint"], env=asked["env"], user=asked["user"])
    assert recipe.config()["Env"][1:] == ["PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"]
    assert recipe.config()["User"] == "65532:65532"


def test_an_image_of_mappers_leaves_the_module_to_the_pod(tmp_path: Path) -> None:
    options = {
        "program": "mapper",
        "repository": "edgelab.local/mapper",
        "dest": "/x/mapper.tar",
        "arch": "amd64",
        "cache_dir": str(tmp_path),
    }
    asked = runtime_image.recipe(options, f"{VERSION}.modbus", "bookworm", [])
    assert asked["reference"] == "edgelab.local/mapper:1.0.0-3fb2c19a07de.modbus"
    assert asked["entrypoint"] == ["/usr/bin/python3.11", "-m"]


def test_a_controller_of_another_kind_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_image.platform, "freedesktop_os_release", lambda: {"VERSION_CODENAME": "sid"})
    with pytest.raises(
        runtime_image.BundleError, match="built on bookworm, noble, trixie; this controller is sid"
    ):
        runtime_image._suite()
