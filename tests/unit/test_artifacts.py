"""Files by checksum from a real HTTP server, bundles and their manifests, and a repository that apt reads."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from ansible_collections.edgelab.kubeedge.plugins.module_utils import (
    bundle_manifest,
    debian_repository,
    fetching,
)
from ansible_collections.edgelab.kubeedge.plugins.modules import artifact_bundle, artifact_file
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import foreign_root, wheelhouse
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import BundleError

from tests.unit.module_harness import CHECKOUT, run

CONTENT = b"a release of something"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
TABLE = CHECKOUT / "roles" / "artifacts" / "vars" / "main" / "files.yml"
ARCHITECTURES = ["amd64", "arm64", "armhf"]


class Site(http.server.BaseHTTPRequestHandler):
    """A site with one file for those who know the password."""

    seen: ClassVar[list[str | None]] = []
    length: int | None = None

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        if self.path != "/file":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.length or len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.seen, Site.length = [], None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/file"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRIES", ())


def get(url: str, dest: Path, **options: Any) -> dict[str, Any]:
    return run(artifact_file, **{"url": url, "sha256": DIGEST, "dest": str(dest), **options})


def test_a_file_is_fetched_once(site: str, tmp_path: Path) -> None:
    dest = tmp_path / "files" / "it"
    assert get(site, dest, _ansible_check_mode=True)["changed"] is True
    assert not dest.exists()
    assert get(site, dest)["changed"] is True
    assert dest.read_bytes() == CONTENT
    assert get(site, dest)["changed"] is False
    assert len(Site.seen) == 1


def test_a_wrong_checksum_leaves_nothing_and_names_url_and_variable(site: str, tmp_path: Path) -> None:
    failed = get(site, tmp_path / "it", sha256="0" * 64, variable="artifacts_urls.runc")
    assert failed["failed"]
    assert site in failed["msg"]
    assert DIGEST in failed["msg"]
    assert "artifacts_urls.runc" in failed["msg"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checksum_is_refused(site: str, tmp_path: Path) -> None:
    assert "is no SHA-256" in get(site, tmp_path / "it", sha256="latest")["msg"]
    assert Site.seen == []


def test_a_full_disk_is_told_before_the_download(site: str, tmp_path: Path) -> None:
    Site.length = 1 << 60
    failed = get(site, tmp_path / "it")
    assert "no room for " + site in failed["msg"]
    assert "artifacts_cache_dir" in failed["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way_is_told_too() -> None:
    class Answer:
        def read(self, _size: int) -> bytes:
            return CONTENT

    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(fetching.FetchError, match=r"no room for http://x.*No space left"),
    ):
        fetching._copy(Answer(), full, "http://x", Path("/srv"))


def test_an_unreachable_site_names_the_ways_out(tmp_path: Path) -> None:
    failed = get("http://me:secret@127.0.0.1:9/file", tmp_path / "it")
    for word in ("****@127.0.0.1:9", "artifacts_mirror", "artifacts_urls", "artifacts_bundle"):
        assert word in failed["msg"]
    assert "secret" not in str(failed)


def test_a_missing_file_is_not_asked_for_again(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "RETRIES", (0.0, 0.0))
    assert "answered 404" in get(site + "s", tmp_path / "it")["msg"]
    assert len(Site.seen) == 1


def test_credentials_are_sent_in_a_header(site: str, tmp_path: Path) -> None:
    get(site.replace("//", "//me:s%40id@"), tmp_path / "one")
    get(site, tmp_path / "two", username="me", password="s@id")
    assert Site.seen == ["Basic bWU6c0BpZA=="] * 2


def test_the_table_is_sorted_and_has_every_architecture_or_a_reason() -> None:
    text = TABLE.read_text(encoding="utf-8")
    table = yaml.safe_load(text)["_artifacts_files"]
    assert list(table) == sorted(table)
    sites = yaml.safe_load((TABLE.parent / "main.yml").read_text(encoding="utf-8"))["_artifacts_sites"]
    assert list(sites) == sorted(sites)
    for name, known in table.items():
        assert list(known["checksums"]) in (ARCHITECTURES, ["any"]), name
        assert known["site"] in sites, name
        for arch, entry in known["checksums"].items():
            stated = entry.get("sha256", "")
            assert re.fullmatch("[0-9a-f]{64}", stated) or len(entry.get("absent", "")) > 20, (name, arch)
    assert re.search(r"^# .*checksums\.yml at\n# [0-9a-f]{40}", text, re.MULTILINE), (
        "says where they are from"
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    (directory / "apt").mkdir(parents=True)
    (directory / "apt" / "one.tar").write_bytes(b"one")
    (directory / "two").write_bytes(b"two")
    sealed = run(artifact_bundle, path=str(directory), state="sealed", content={"targets": []})
    assert (sealed["changed"], sealed["size"]) == (True, 6)
    return directory


def verified(bundle: Path, **options: Any) -> dict[str, Any]:
    return run(artifact_bundle, path=str(bundle), **options)


def test_a_bundle_is_sealed_once_and_verified(bundle: Path) -> None:
    again = run(artifact_bundle, path=str(bundle), state="sealed", content={"targets": []})
    assert again["changed"] is False
    good = verified(bundle, sha256=again["sha256"])
    assert (good["changed"], good["failed"], good["manifest"]["targets"]) == (False, False, [])


def test_every_way_to_spoil_a_bundle_is_noticed(bundle: Path) -> None:
    assert "artifacts_bundle_sha256" in verified(bundle, sha256="0" * 64)["msg"]
    (bundle / "two").write_bytes(b"twO")
    assert f"{bundle}/two has the SHA-256" in verified(bundle)["msg"]
    (bundle / "two").unlink()
    assert f"missing, {bundle}/two first" in verified(bundle)["msg"]
    (bundle / "two").write_bytes(b"two")
    (bundle / "three").touch()
    assert "three is not in the manifest" in verified(bundle)["msg"]
    (bundle / "three").unlink()
    (bundle / "three").symlink_to("/etc/passwd")
    assert "symbolic link" in verified(bundle)["msg"]
    (bundle / "three").unlink()
    (bundle / bundle_manifest.NAME).write_text('{"format": 9, "files": {}}')
    assert "has format 9" in verified(bundle)["msg"]
    (bundle / bundle_manifest.NAME).unlink()
    assert "playbooks/bundle.yml" in verified(bundle)["msg"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Debian package without content."""
    control = tmp_path / "tree" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: thing\nVersion: 1:2.0\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: x\n"
    )
    deb = tmp_path / "thing_1%3a2.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(tmp_path / "tree"), str(deb)], check=True, capture_output=True)
    return deb


def test_a_repository_is_the_same_for_the_same_packages_and_apt_reads_it(
    package: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "repository.tar"
    release = debian_repository.write(dest, [package], "bookworm", "amd64")
    content = dest.read_bytes()
    assert debian_repository.write(dest, [package], "bookworm", "amd64") == release
    assert (dest.read_bytes(), debian_repository.release_of(dest)) == (content, release)
    assert debian_repository.versions([package]) == {"thing": "1:2.0"}
    unpacked = tmp_path / "unpacked"
    with tarfile.open(dest) as tar:
        tar.extractall(unpacked, filter="data")
    source = {"uri": f"[trusted=yes] file:{unpacked}", "suite": "./"}
    apt = debian_repository.Apt(tmp_path / "apt", "amd64", [])
    line = f"deb {source['uri']} ./\n"
    (tmp_path / "apt" / "parts" / "bundle.list").write_text(line)
    apt._run("reading", "--error-on=any", "update")
    assert apt.available(["thing", "other"]) == ["thing"]


def test_a_source_that_cannot_be_read_is_an_error_or_noted(tmp_path: Path) -> None:
    gone = {"uri": f"file:{tmp_path}/gone", "suite": "bookworm"}
    with pytest.raises(debian_repository.RepositoryError, match=r"gone bookworm cannot be read.*bundle_"):
        debian_repository.Apt(tmp_path / "one", "amd64", [gone]).update()
    apt = debian_repository.Apt(tmp_path / "two", "amd64", [{**gone, "required": False}])
    apt.update()
    assert [entry["what"] for entry in apt.absent] == [f"file:{tmp_path}/gone bookworm"]
    assert apt.absent[0]["reason"]


def test_qemu_is_registered_as_debian_does() -> None:
    # /usr/lib/binfmt.d/qemu-arm.conf of qemu-user-static, with the flags that need nothing inside the root.
    assert foreign_root.binfmt_line("armhf", "/q").startswith(
        r":qemu-arm:M::\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:"
        r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/q:"
    )


def test_a_target_of_an_unknown_suite_is_refused_by_name() -> None:
    python = wheelhouse.python_of({"suite": "trixie", "arch": "armhf"})
    assert (python["version"], python["machine"], python["bits"]) == ([3, 13], "armv7l", 32)
    with pytest.raises(BundleError, match=r"bundle_targets.*bullseye"):
        wheelhouse.python_of({"suite": "bullseye", "arch": "arm64"})


@pytest.mark.parametrize("role", ["calico", "metrics_server"])
def test_a_manifest_of_a_role_is_the_one_of_the_table(role: str) -> None:
    known = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["_artifacts_files"][role]
    defaults = yaml.safe_load(
        (CHECKOUT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    )
    assert defaults[f"{role}_version"] == known["version"]
    assert defaults[f"{role}_manifest_checksum"] == known["checksums"]["any"]["sha256"]
    address = " ".join(defaults[f"{role}_manifest_url"].split())
    where = known["path"].replace("{version}", f"{{{{ {role}_version }}}}")
    assert address.endswith(where)


BUNDLE_AND_USE = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    bundle_targets: []
    bundle_profiles: []
    __bundle_packages: {results: []}
    __bundle_wheels: {}
    _bundle_archives: []
    _bundle_absent: []
  tasks:
    - ansible.builtin.set_fact:
        artifacts_facts: {images: {}, files: {calico-3.31.7-any: /cache/files/calico-3.31.7-any}}
    - edgelab.kubeedge.artifact_bundle:
        path: "{{ bundle }}"
        state: sealed
        content: "{{ lookup('ansible.builtin.template', templates ~ '/bundle_content.json.j2') | from_json }}"
    - ansible.builtin.include_role:
        name: edgelab.kubeedge.artifacts
      vars:
        artifacts_bundle: "{{ bundle }}"
    - ansible.builtin.copy:
        content: "{{ artifacts_facts.files | to_json }}"
        dest: "{{ bundle }}.told"
        mode: "0600"
"""


def test_files_of_a_bundle_are_told_by_their_path_in_it(tmp_path: Path) -> None:
    """As playbooks/bundle.yml writes its manifest, and as the next run reads it."""
    bundle = tmp_path / "bundle"
    (bundle / "files").mkdir(parents=True)
    (bundle / "files" / "calico-3.31.7-any").write_bytes(CONTENT)
    (tmp_path / "play.yml").write_text(BUNDLE_AND_USE, encoding="utf-8")
    variables = json.dumps(
        {
            "bundle": str(bundle),
            "templates": str(CHECKOUT / "playbooks" / "templates"),
            "ansible_python_interpreter": sys.executable,
        }
    )
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", "localhost,", "-e", variables, str(tmp_path / "play.yml")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = json.loads((tmp_path / "bundle.told").read_text(encoding="utf-8")).values()
    assert Path(path).read_bytes() == CONTENT
