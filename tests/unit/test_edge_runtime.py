"""edge_runtime: a small runtime is built, installed, activated, rolled back and removed for real.

The wheelhouse is a directory with the pip that came with this Python, so nothing is downloaded.
"""

from __future__ import annotations

import ensurepip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils.runtime_layout import COMPLETE, Layout
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_runtime
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import (
    Builder,
    BundleError,
    NoSuchWheel,
    entries,
    joined,
    left_out_list,
    optional_list,
    platforms,
    verify_list,
    version_of,
    with_extras,
    without_absent,
    without_passwords,
)

from tests.unit.module_harness import CHECKOUT, run

PIP_PLACES = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
PYPROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "edgelab"
version = "1.0.0"
[project.scripts]
keadm = "edgelab:main"
[tool.setuptools.packages.find]
where = ["src"]
"""


@pytest.fixture(scope="module")
def pip_wheel() -> Path:
    return next(wheel for place in PIP_PLACES for wheel in place.glob("pip-*.whl"))


@pytest.fixture
def source(tmp_path: Path, pip_wheel: Path) -> Path:
    """Sources of a runtime without dependencies."""
    source = tmp_path / "runtime"
    (source / "src" / "edgelab").mkdir(parents=True)
    (source / "locks").mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    write_program(source, "one")
    (source / "locks" / "edge.lock").write_text("# verify: edgelab\n")
    digest = hashlib.sha256(pip_wheel.read_bytes()).hexdigest()
    version = pip_wheel.name.split("-")[1]
    (source / "locks" / "installer.lock").write_text(
        f"# verify: pip\npip=={version} --hash=sha256:{digest}\n"
    )
    return source


def write_program(source: Path, word: str) -> None:
    text = f'__version__ = "1.0.0"\n\n\ndef main():\n    print(__version__, "{word}")\n'
    (source / "src" / "edgelab" / "__init__.py").write_text(text)


class Host:
    """A host's root directory, and the two parts of the module that meet there."""

    def __init__(self, tmp_path: Path, source: Path, cache: Path, pip_wheel: Path) -> None:
        self.root = tmp_path / "opt"
        self.source, self.cache, self.wheels = source, cache, pip_wheel.parent

    def run(self, **options: Any) -> dict[str, Any]:
        return run(edge_runtime, root=str(self.root), python=sys.executable, **options)

    def install(self, profile: str = "edge", **options: Any) -> dict[str, Any]:
        builder = Builder(self.source, self.cache, self.wheels)
        bundle = builder.bundle(profile, edge_runtime.probe(sys.executable))
        return self.run(version=builder.installed_version(profile), bundle=str(bundle), **options)

    def says(self) -> str:
        program = self.root / "current" / "bin" / "keadm"
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: what is named by its content can be shared."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def host(tmp_path: Path, source: Path, cache: Path, pip_wheel: Path) -> Host:
    return Host(tmp_path, source, cache, pip_wheel)


def test_versions_are_installed_switched_rolled_back_and_removed(host: Host) -> None:
    first = host.install(_ansible_diff=True)
    assert (first["changed"], first["installed"], first["failed"]) == (True, True, False), first
    assert first["diff"]["after"] == first["version"] + "\n"
    assert host.says() == f"{first['version']} one"
    assert list((host.root / "current").resolve().rglob("__init__.cpython-*.pyc"))

    again = host.run(version=first["version"])
    assert (again["changed"], again["version"]) == (False, first["version"])

    write_program(host.source, "two")
    second = host.install()
    assert second["previous"] == first["version"] != second["version"]
    assert host.says() == f"{second['version']} two"

    back = host.run(state="rolled_back")
    assert (back["changed"], back["version"], back["previous"]) == (True, first["version"], "")
    assert host.says() == f"{first['version']} one"
    assert "no earlier version" in host.run(state="rolled_back")["msg"]

    assert "is the current one" in host.run(state="absent", version=first["version"])["msg"]
    assert host.run(state="absent", version=second["version"])["versions"] == [first["version"]]
    assert host.run(state="absent")["changed"] is True
    assert host.run(state="absent")["changed"] is False
    assert not host.root.exists()


def test_extras_are_a_version_of_their_own_beside_the_one_without(host: Host, pip_wheel: Path) -> None:
    (host.source / "locks" / "extra.lock").write_text(
        (host.source / "locks" / "installer.lock").read_text(encoding="utf-8")
    )
    plain = host.install()
    more = host.install("edge+extra")
    assert more["version"] == plain["version"] + ".extra"
    assert set(more["versions"]) == {plain["version"], more["version"]}
    assert host.says() == f"{plain['version']} one"
    imports = [str(host.root / "current" / "bin" / "python"), "-I", "-c", "import pip"]
    assert subprocess.run(imports, check=False).returncode == 0
    assert host.run(version=more["version"])["changed"] is False
    assert host.install()["changed"] is True
    assert subprocess.run(imports, capture_output=True, check=False).returncode == 1


def test_extras_are_names_of_locks_in_one_order_for_hosts_with_mappers() -> None:
    assert with_extras("edge", []) == "edge"
    assert with_extras("site", ["opcua", "modbus", "opcua"]) == "site+modbus+opcua"
    with pytest.raises(BundleError, match=r"'\.\./x': expected names of locks"):
        with_extras("edge", ["../x"])
    with pytest.raises(BundleError, match="need the profile edge or site"):
        with_extras("cloud", ["modbus"])


def test_locks_that_pin_a_package_differently_are_no_one_lock() -> None:
    assert joined([LOCK, LOCK]).count("slow==") == 1
    assert verify_list(joined([LOCK, "# verify: more\n" + EXTRA_LOCK])) == ["edgelab", "more"]
    assert list(entries(joined([LOCK, EXTRA_LOCK]))) == ["fast", "slow", "new"]
    with pytest.raises(BundleError, match=r"slow==2\.0 and slow==3\.0"):
        joined([LOCK, LOCK.replace("slow==2.0", "slow==3.0")])


@pytest.mark.parametrize("profile", ["edge", "site"])
@pytest.mark.parametrize("extra", ["modbus", "opcua", "push"])
def test_the_committed_locks_of_extras_keep_to_those_of_the_profiles(profile: str, extra: str) -> None:
    locks = CHECKOUT / "python_runtime" / "locks"
    texts = [(locks / f"{name}.lock").read_text(encoding="utf-8") for name in (profile, extra)]
    found = entries(joined(texts))
    assert set(found) >= set(entries(texts[0])) | set(entries(texts[1]))


@pytest.mark.parametrize("profile", ["edge", "site"])
def test_a_host_may_have_all_extras_at_once(profile: str) -> None:
    locks = CHECKOUT / "python_runtime" / "locks"
    names = [profile, "modbus", "opcua", "push"]
    text = joined([(locks / f"{name}.lock").read_text(encoding="utf-8") for name in names])
    assert {"pymodbus", "asyncua", "redis", "aiomysql", "pymysql", "aiohttp"} <= set(entries(text))


def test_a_host_without_the_version_asks_for_a_bundle_and_says_what_it_runs(host: Host) -> None:
    answer = host.run(version="1.0.0+0123456789ab")
    assert answer["needs_bundle"] is True
    assert answer["python"]["version"] == list(sys.version_info[:2])
    assert not host.root.exists()


def test_check_mode_tells_the_change_and_makes_none(host: Host) -> None:
    answer = host.run(version="1.0.0+0123456789ab", _ansible_check_mode=True)
    assert (answer["changed"], host.root.exists()) == (True, False)


def test_a_version_whose_programs_do_not_load_never_becomes_current(host: Host) -> None:
    first = host.install()
    (host.source / "src" / "edgelab" / "__init__.py").write_text('__version__ = "1.0.0"\nimport nonsense\n')
    broken = host.install()
    assert broken["failed"]
    assert "checking that the programs load" in broken["msg"]
    assert "nonsense" in broken["msg"]
    assert host.says() == f"{first['version']} one"


def test_a_wheel_that_was_tampered_with_is_not_installed(host: Host, tmp_path: Path) -> None:
    builder = Builder(host.source, host.cache, host.wheels)
    data = builder.bundle("edge", edge_runtime.probe(sys.executable)).read_bytes()
    bundle = tmp_path / "bundle.tar"
    own = data.index(b"wheels/edgelab")
    bundle.write_bytes(data[: own + 600] + b"X" + data[own + 601 :])
    result = host.run(version=builder.version, bundle=str(bundle))
    assert result["failed"]
    assert "installing the wheels" in result["msg"]


def test_only_the_versions_to_keep_stay_and_the_current_and_previous_always(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    for number, version in enumerate("abcde"):
        mark = Path(layout.venv(version)) / COMPLETE
        mark.parent.mkdir(parents=True)
        mark.touch()
        os.utime(mark, (number, number))
    layout.activate("b")
    layout.activate("c")
    assert layout.prune(3) == ["d", "a"]
    assert layout.versions() == ["e", "c", "b"]


def test_nothing_is_built_twice(host: Host, tmp_path: Path) -> None:
    said: list[str] = []
    facts = edge_runtime.probe(sys.executable)
    for _ in range(2):
        Builder(host.source, tmp_path / "fresh", host.wheels, say=said.append).bundle("edge", facts)
    assert len([line for line in said if "building" in line]) == 1
    assert len([line for line in said if "fetching" in line]) == 2  # one lock each: edge and installer


def test_the_version_follows_sources_and_locks_and_nothing_else(source: Path) -> None:
    before = version_of(source)
    (source / "src" / "edgelab" / "__pycache__").mkdir()
    (source / "src" / "edgelab" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (source / "notes.txt").write_text("not part of it")
    assert version_of(source) == before
    (source / "locks" / "edge.lock").write_text("# verify: edgelab edgelab.more\n")
    assert version_of(source) != before
    assert before.startswith("1.0.0+")
    assert len(before) == len("1.0.0+") + 12


def test_the_wheels_of_other_machines_are_chosen_by_their_facts() -> None:
    pi = {"version": [3, 11], "machine": "aarch64", "libc": ["glibc", "2.36"], "bits": 64}
    assert platforms(pi)[0] == "manylinux_2_36_aarch64"
    assert platforms({**pi, "bits": 32})[0] == "manylinux_2_36_armv7l"
    with pytest.raises(BundleError, match="glibc is needed"):
        platforms({**pi, "libc": ["", ""]})


def test_what_is_no_runtime_is_named(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with pytest.raises(BundleError, match="holds no runtime"):
        Builder(tmp_path, tmp_path / "cache")


def test_an_old_python_on_the_host_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    facts = json.dumps({"version": [3, 9], "machine": "x86_64", "libc": ["glibc", "2.31"], "bits": 64})
    old.write_text(f"#!/bin/sh\necho '{facts}'\n")
    old.chmod(0o755)
    result = run(edge_runtime, root=str(tmp_path / "opt"), python=str(old), version="1.0.0+0123456789ab")
    assert "needs Python 3.11 or later" in result["msg"]
    assert "3.9" in result["msg"]


def write_part(source: Path, place: str) -> None:
    folder = source / "src" / "edgelab" / place
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("def main():\n    pass\n")


def test_what_the_packages_of_a_profile_cannot_run_is_left_out_with_its_program(host: Host) -> None:
    for place in ("edgecore", "edgesite", "data/apis"):
        write_part(host.source, place)
    project = host.source / "pyproject.toml"
    scripts = 'edgecore = "edgelab.edgecore.__main__:main"\nedgesite = "edgelab.edgesite.__main__:main"\n'
    project.write_text(PYPROJECT.replace("[project.scripts]\n", f"[project.scripts]\n{scripts}"))
    lock = host.source / "locks" / "edge.lock"
    lock.write_text("# verify: edgelab edgelab.edgecore\n# leaves out: edgesite data/apis\n")
    assert host.install()["installed"]
    current = (host.root / "current").resolve()
    (package,) = current.glob("lib/python*/site-packages/edgelab")
    assert {path.name for path in package.iterdir()} == {"__init__.py", "__pycache__", "edgecore", "data"}
    assert not list((package / "data").glob("apis"))
    assert {"edgecore", "keadm"} == {path.name for path in (current / "bin").iterdir()} & {
        "edgecore",
        "edgesite",
        "keadm",
    }

    lock.write_text("# verify: edgelab\n# leaves out: edgesight\n")
    failed = host.install()
    assert failed["failed"]
    assert "leaves out edgesight, which the runtime does not have" in failed["msg"]
    assert (host.root / "current").resolve() == current


def test_parts_that_the_committed_locks_leave_out_are_there_and_nobody_else_imports_them() -> None:
    runtime = CHECKOUT / "python_runtime"
    parts = left_out_list((runtime / "locks" / "edge.lock").read_text())
    assert "edgesite" in parts
    package = runtime / "src" / "edgelab"
    for part in parts:
        assert (package / part).is_dir(), part
    kept = [
        path for path in package.rglob("*.py") if str(path.relative_to(package)).split("/")[0] not in parts
    ]
    rooms = [part for part in parts if "/" not in part]
    for path in kept:
        for room in rooms:
            assert f"edgelab.{room}" not in path.read_text(), f"{path} needs {room}"
    for profile in ("cloud", "site"):
        assert left_out_list((runtime / "locks" / f"{profile}.lock").read_text()) == []


@pytest.mark.parametrize("profile", ["edge", "cloud", "site", "modbus", "opcua"])
def test_the_committed_locks_say_what_to_verify_and_pin_everything(profile: str) -> None:
    lock = (CHECKOUT / "python_runtime" / "locks" / f"{profile}.lock").read_text()
    packages = [line for line in lock.splitlines() if line and line[0] not in " #"]
    assert verify_list(lock)
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert not any(line.startswith(("rich==", "pydantic==")) for line in packages)


def test_the_edge_lock_keeps_what_edgecore_must_not_import_away() -> None:
    lock = (CHECKOUT / "python_runtime" / "locks" / "edge.lock").read_text()
    assert "aiohttp" not in lock


def test_ansible_builds_sends_and_installs_in_one_task(host: Host, tmp_path: Path) -> None:
    task = {
        "profile": "edge",
        "root": str(host.root),
        "python": sys.executable,
        "source": str(host.source),
        "cache_dir": str(host.cache),
        "wheelhouse": str(host.wheels),
    }
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"edgelab.kubeedge.edge_runtime": task}]}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
    }
    inventory = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    (tmp_path / "hosts").write_text(inventory)
    command = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        tmp_path / "hosts",
        tmp_path / "play.yml",
    ]
    recaps = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        recaps.append("changed=1" in done.stdout)
    assert recaps == [True, False]
    assert host.says().endswith("one")


LOCK = """# verify: edgelab
# optional: fast
fast==1.0 \\
    --hash=sha256:aa
slow==2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
"""


EXTRA_LOCK = """new==1.0 \\
    --hash=sha256:ff
"""


def test_a_32_bit_system_on_a_64_bit_kernel_gets_32_bit_wheels() -> None:
    tags = platforms({"machine": "aarch64", "bits": 32, "libc": ["glibc", "2.31"]})
    assert tags[0] == "manylinux_2_31_armv7l"
    assert not [tag for tag in tags if "aarch64" in tag]


def test_an_optional_package_is_left_out_where_no_wheel_of_it_came() -> None:
    assert optional_list(LOCK) == {"fast"}
    assert "fast==" in without_absent(LOCK, [Path("fast-1.0-cp311.whl"), Path("slow-2.0.whl")])
    assert "fast==" not in without_absent(LOCK, [Path("slow-2.0.whl")])


def test_wheels_built_for_a_wheelhouse_are_accepted_by_their_own_hashes(source: Path, tmp_path: Path) -> None:
    (source / "locks" / "edge.lock").write_text(LOCK)
    (tmp_path / "built.lock").write_text(
        "slow==2.0 \\\n    --hash=sha256:dd\nfast==9.9 \\\n    --hash=sha256:ee\n"
    )
    found = entries(Builder(source, tmp_path / "cache", tmp_path).lock("edge"))
    assert found["slow"].hashes.split(" \\\n") == [f"    --hash=sha256:{h * 2}" for h in "bcd"]
    assert "ee" not in found["fast"].hashes, "another version was built"


def test_a_missing_wheel_names_the_wheelhouse_and_how_to_make_one(source: Path, tmp_path: Path) -> None:
    (source / "locks" / "edge.lock").write_text(LOCK)
    builder = Builder(source, tmp_path / "cache", tmp_path)
    with pytest.raises(NoSuchWheel, match=r"slow==2\.0.*playbooks/bundle\.yml"):
        builder.wheels("edge", edge_runtime.probe(sys.executable))
    with pytest.raises(BundleError, match="there is no wheelhouse"):
        Builder(source, tmp_path / "cache", tmp_path / "nowhere")


def test_the_runtimes_own_wheel_is_taken_from_the_wheelhouse_when_it_is_of_this_version(
    source: Path, tmp_path: Path
) -> None:
    wheel = tmp_path / f"edgelab-{version_of(source)}-py3-none-any.whl"
    wheel.write_bytes(b"")
    assert Builder(source, tmp_path / "cache", tmp_path).wheel() == wheel


def test_a_password_in_the_index_url_is_not_shown(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    (source / "locks" / "edge.lock").write_text(LOCK)
    index = "http://me:secret@127.0.0.1:9/simple"
    builder = Builder(source, tmp_path / "cache", index_url=index)
    with pytest.raises(BundleError) as caught:
        builder.wheels("edge", edge_runtime.probe(sys.executable))
    assert "secret" not in str(caught.value)
    assert without_passwords(f"looking at {index}") == "looking at http://****@127.0.0.1:9/simple"
