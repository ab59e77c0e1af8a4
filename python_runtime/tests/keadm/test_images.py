"""`keadm config images`, `keadm manifest` and `keadm version`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.keadm.conftest import Keadm
from tests.keadm.host import Host
from tests.keadm.sandboxes import serve
from typer.testing import CliRunner

import edgelab
from edgelab import KUBEEDGE_VERSION
from edgelab.keadm.__main__ import app

CRDS = Path(edgelab.__file__).parent / "data" / "crds"


@pytest.mark.parametrize(
    ("words", "images"),
    [
        ((), ["kubeedge/pause:3.6"]),
        (("--part", "edge", "--image-repository", "registry.local/k/"), ["registry.local/k/pause:3.6"]),
        (("--part", "cloud"), []),
    ],
)
def test_images_are_those_of_the_side(keadm: Keadm, words: tuple[str, ...], images: list[str]) -> None:
    assert keadm("config", "images", "list", *words)[1]["images"] == images


def test_the_sandbox_image_is_the_configured_one(keadm: Keadm, host: Host) -> None:
    config = host.path("/etc/kubeedge/config/edgecore.yaml")
    config.parent.mkdir(parents=True)
    config.write_text("modules: {edged: {podSandboxImage: registry.k8s.io/pause:3.9}}")
    assert keadm("config", "images", "list")[1]["images"] == ["registry.k8s.io/pause:3.9"]


def test_an_image_is_pulled_once(keadm: Keadm, tmp_path: Path) -> None:
    with serve(tmp_path / "c.sock") as runtime:
        call = ("config", "images", "pull", "-p", f"unix://{tmp_path}/c.sock")
        assert keadm(*call)[1]["pulled"] == ["kubeedge/pause:3.6"]
        assert keadm(*call) == (0, {"changed": False, "images": ["kubeedge/pause:3.6"], "pulled": []})
        assert runtime.calls == [("pull", "kubeedge/pause:3.6")]


def test_pulling_without_a_runtime_is_told(keadm: Keadm, tmp_path: Path) -> None:
    status, answer = keadm("config", "images", "pull", "-p", f"unix://{tmp_path}/none.sock")
    assert (status, "none.sock does not exist" in answer["error"]) == (1, True)


def test_manifests_are_yaml_that_kubectl_takes() -> None:
    done = CliRunner().invoke(app, ["manifest", "generate"])
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    assert kinds == ["Namespace", *["CustomResourceDefinition"] * len(list(CRDS.iterdir()))]
    done = CliRunner().invoke(app, ["manifest", "--skip-crds"])
    assert [one["kind"] for one in yaml.safe_load_all(done.stdout)] == ["Namespace"]


def test_certs_is_another_name_of_cert() -> None:
    pages = [
        CliRunner().invoke(app, [word, "--help"]).stdout.partition("Commands")[2]
        for word in ("cert", "certs")
    ]
    assert "rotate" in pages[0]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("words", [["--short"], ["-o", "short"]])
def test_the_short_version_is_kubeedge_s(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["version", *words]).stdout == f"{KUBEEDGE_VERSION}\n"


def test_the_version_in_json_and_yaml_says_the_same() -> None:
    as_json = json.loads(CliRunner().invoke(app, ["version", "-o", "json"]).stdout)
    as_yaml = yaml.safe_load(CliRunner().invoke(app, ["version", "-o", "yaml"]).stdout)
    assert as_json["kubeedge"] == as_yaml["kubeedge"] == KUBEEDGE_VERSION


def test_what_an_edge_host_runs_of_keadm_takes_no_package_that_its_lock_lacks() -> None:
    names = "joining resetting upgrading updating collecting debug_get host_checks preflight migrating images"
    code = (
        "import importlib, sys\n"
        f"for name in {names.split()}: importlib.import_module('edgelab.keadm.' + name)\n"
        "assert 'aiohttp' not in sys.modules"
    )
    assert "aiohttp==" not in (Path(__file__).parents[2] / "locks" / "edge.lock").read_text()
    subprocess.run([sys.executable, "-c", code], check=True)
