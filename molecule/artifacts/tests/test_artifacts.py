"""Where files, images and packages come from: mirrors of three grains, a bundle, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
CHECKOUT = Path(__file__).resolve().parents[3]
SCENARIO = Path(__file__).resolve().parents[1]
CONVERGE, CONTROLLER, HOSTS = (SCENARIO / f"{name}.yml" for name in ("converge", "controller", "hosts"))
BUNDLE = CHECKOUT / "playbooks" / "bundle.yml"
STATE = Path(os.environ["EDGELAB_STATE_DIR"])
CONTENT = b"a tool\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = "/someone/tool/releases/download/v1.2.3/tool-amd64"
SOURCES = "/etc/apt/sources.list.d/edgelab.sources"
NOWHERE = "http://127.0.0.1:9"
PASSWORD = "correct-horse"
Play = Callable[..., tuple[int, str]]


@dataclass
class Mirror:
    """A mirror of this machine: which paths were asked for, and with which credentials."""

    port: int = 0
    asked: dict[str, str] = field(default_factory=dict)
    content: bytes = CONTENT

    def url(self, folder: str) -> str:
        """The address of a folder of it; what lies below it is the same everywhere."""
        return f"http://127.0.0.1:{self.port}/{folder}"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A mirror that serves one content under every address."""
    served = Mirror()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked[self.path] = self.headers.get("Authorization", "")
            self.send_response(200)
            self.send_header("Content-Length", str(len(served.content)))
            self.end_headers()
            self.wfile.write(served.content)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    served.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


def tool(folder: Path) -> dict[str, Any]:
    """Variables with which the role has one file to fetch, and a cache and a report below `folder`."""
    entry = {
        "version": "1.2.3",
        "site": "github",
        "path": "/someone/tool/releases/download/v{version}/tool-{arch}",
        "names": {},
        "checksums": {"amd64": {"sha256": DIGEST}},
    }
    return {
        "_artifacts_files": {"tool": entry},
        "artifacts_files": ["tool"],
        "artifacts_architectures": ["amd64"],
        "artifacts_image_source": "registry",
        "artifacts_cache_dir": str(folder / "cache"),
        "published": str(folder / "published.json"),
    }


@pytest.fixture
def fetch(play: Play, tmp_path: Path) -> Play:
    """Runs the controller's part of the role with one file to fetch."""
    return lambda variables, *words: play(CONTROLLER, {**tool(tmp_path), **variables}, *words)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for little more than what a download leaves free."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def no_bundle(play: Play) -> Iterator[None]:
    """The host goes back to the mirror whatever happens."""
    yield
    status, text = play(CONVERGE, {})
    assert status == 0, text


def published(folder: Path) -> dict[str, Any]:
    """What the role told other roles."""
    found: dict[str, Any] = json.loads((folder / "published.json").read_text(encoding="utf-8"))
    return found


def indexes(host: Host) -> set[str]:
    """Sites that the host's apt reads."""
    lines = host.check_output("apt-get indextargets --format '$(URI)'").splitlines()
    return {line.partition("/dists/")[0].partition("/./")[0] for line in lines}


# Images


@pytest.mark.parametrize("name", ["pause", "busybox", "nginx"])
def test_an_image_is_made_of_blobs_that_are_what_they_are_called(name: str) -> None:
    facts = json.loads((STATE / "artifacts.json").read_text(encoding="utf-8"))
    [archive] = [one for one in facts["archives"] if one["reference"] == facts["images"][name]]
    assert Path(archive["path"]).is_relative_to(STATE / "artifacts")
    with tarfile.open(archive["path"]) as tar:
        content = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
    blobs = {path: data for path, data in content.items() if path.startswith("blobs/sha256/")}
    assert blobs
    assert all(hashlib.sha256(data).hexdigest() == Path(path).name for path, data in blobs.items())
    [entry] = json.loads(content["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == archive["reference"]
    assert entry["digest"] == archive["digest"]
    manifest = json.loads(blobs[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])
    config = json.loads(blobs[f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"])
    assert config["architecture"] == archive["arch"]


# Files


def test_a_mirror_of_all_sites_has_each_below_its_name(fetch: Play, mirror: Mirror, tmp_path: Path) -> None:
    status, text = fetch({"artifacts_mirror": mirror.url("all/")})
    assert status == 0, text
    assert set(mirror.asked) == {f"/all/github.com{PATH}"}
    assert Path(published(tmp_path)["files"]["tool-1.2.3-amd64"]).read_bytes() == CONTENT
    mirror.asked.clear()
    status, text = fetch({"artifacts_mirror": mirror.url("all")})
    assert (status, mirror.asked) == (0, {}), "what is in the cache is not fetched again"
    assert "changed=0" in text


def test_a_sites_own_mirror_and_a_files_own_address_win(fetch: Play, mirror: Mirror, tmp_path: Path) -> None:
    one_of_all = {"artifacts_mirror": mirror.url("all"), "artifacts_mirrors": {"github": mirror.url("hub")}}
    assert fetch(one_of_all)[0] == 0
    assert set(mirror.asked) == {f"/hub{PATH}"}
    mirror.asked.clear()
    own = {"artifacts_urls": {"tool": mirror.url("own/{version}/{arch}")}}
    other_cache = {"artifacts_cache_dir": str(tmp_path / "other")}
    assert fetch({**one_of_all, **own, **other_cache})[0] == 0
    assert set(mirror.asked) == {"/own/1.2.3/amd64"}


def test_a_mirrors_password_is_sent_to_the_mirror_and_shown_to_nobody(fetch: Play, mirror: Mirror) -> None:
    user = {"artifacts_mirror_username": "someone", "artifacts_mirror_password": PASSWORD}
    status, text = fetch({"artifacts_mirror": mirror.url("all"), **user}, "-vvv", "--diff")
    assert status == 0, text
    word = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
    assert set(mirror.asked.values()) == {f"Basic {word}"}
    assert word not in text
    assert PASSWORD not in text


def test_another_content_is_refused_with_address_and_both_checksums(
    fetch: Play, mirror: Mirror, tmp_path: Path
) -> None:
    mirror.content = b"something else"
    status, text = fetch({"artifacts_mirror": mirror.url("all")})
    assert status != 0
    found = hashlib.sha256(mirror.content).hexdigest()
    assert f"{mirror.url('all')}/github.com{PATH} has the SHA-256 {found} instead of {DIGEST}" in text
    assert "artifacts_urls.tool" in text
    assert list((tmp_path / "cache" / "files").iterdir()) == []


def test_a_disk_without_room_is_refused_before_anything_is_written(
    fetch: Play, mirror: Mirror, small_disk: Path
) -> None:
    mirror.content = bytes(10 << 20)
    status, text = fetch({"artifacts_mirror": mirror.url("all"), "artifacts_cache_dir": str(small_disk)})
    assert status != 0
    assert f"no room for {mirror.url('all')}/github.com{PATH}: it takes 10 MiB" in text
    assert "artifacts_cache_dir" in text
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_a_mirror_that_is_not_there_is_told_with_what_to_set(fetch: Play) -> None:
    status, text = fetch({"artifacts_mirror": NOWHERE})
    assert status != 0
    assert f"{NOWHERE}/github.com{PATH} cannot be reached" in text
    assert "Set artifacts_mirror or artifacts_mirrors" in text


def test_a_file_that_is_not_in_the_table_is_refused(fetch: Play) -> None:
    status, text = fetch({"artifacts_files": ["toll"]})
    assert status != 0
    assert "artifacts_files: toll is not in the table" in text


# Package sources


def test_the_host_takes_its_packages_from_the_mirror_beside_its_own_sources(host: Host) -> None:
    assert "http://deb.debian.org:80/debian" in indexes(host)
    assert "http://deb.debian.org:80/debian-security" in indexes(host)
    assert len(indexes(host)) > 2
    assert host.file(SOURCES).mode == 0o644


def test_only_the_mirror_counts_where_that_is_asked_and_its_password_is_for_root(
    host: Host, play: Play
) -> None:
    mirrors = {
        name: f"http://deb.debian.org:80/{name.replace('_', '-')}" for name in ("debian", "debian_security")
    }
    user = {"artifacts_mirror_username": "someone", "artifacts_mirror_password": PASSWORD}
    asked = {"artifacts_mirrors": mirrors, "artifacts_apt_exclusive": True}
    status, text = play(HOSTS, {**asked, **user}, "--diff")
    assert status == 0, text
    assert PASSWORD not in text
    assert indexes(host) == set(mirrors.values())
    secret = host.file("/etc/apt/auth.conf.d/edgelab.conf")
    assert (secret.user, secret.mode) == ("root", 0o600)
    assert PASSWORD in secret.content_string
    status, text = play(HOSTS, {"artifacts_mirrors": mirrors})
    assert status == 0, text
    assert not secret.exists
    assert len(indexes(host)) > 2


# A bundle


@pytest.mark.usefixtures("no_bundle")
def test_a_bundle_is_made_and_used_and_refused_after_a_change(
    play: Play, mirror: Mirror, host: Host, tmp_path: Path
) -> None:
    bundle, variables = tmp_path / "bundle", {**tool(tmp_path), "artifacts_image_source": "debian"}
    small = {"bundle_packages": ["tree"], "bundle_optional_packages": [], "bundle_profiles": ["edge"]}
    caches = {"edgelab_cache_dir": str(CHECKOUT / ".cache"), "artifacts_cache_dir": str(STATE / "artifacts")}
    hub = {"artifacts_mirrors": {"github": mirror.url("hub")}}
    made = {**variables, **small, **caches, **hub, "bundle_dir": str(bundle)}
    status, text = play(BUNDLE, {**made, "bundle_targets": [{"suite": "bookworm", "arch": "amd64"}]})
    assert status == 0, text

    use = {**variables, "artifacts_bundle": str(bundle), "artifacts_mirror": NOWHERE}
    status, text = play(CONVERGE, use)
    assert status == 0, text
    facts = published(tmp_path)
    assert Path(facts["files"]["tool-1.2.3-amd64"]) == bundle / "files" / "tool-1.2.3-amd64"
    assert {Path(one["path"]).parent for one in facts["archives"]} == {bundle / "images"}
    assert indexes(host) == {"file:/var/lib/edgelab/apt"}
    host.check_output("apt-get install --yes --quiet tree")
    assert host.package("tree").is_installed

    status, text = play(CONTROLLER, {**use, "artifacts_bundle_sha256": DIGEST})
    assert status != 0
    assert f"artifacts_bundle_sha256 is {DIGEST}: this is another bundle" in text
    changed = bundle / "files" / "tool-1.2.3-amd64"
    changed.write_bytes(b"something else")
    status, text = play(CONTROLLER, use)
    assert status != 0
    assert f"{changed} has the SHA-256" in text
    assert f"instead of {DIGEST}: copy it again" in text
