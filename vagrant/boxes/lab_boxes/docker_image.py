"""The image of the Docker provider's hosts: the local lab's root file system with Vagrant's user in it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nspawn_lab.shell import LabError, run, say, succeeds

from lab_boxes import machine

REPOSITORY = "edgelab/host"


def name(packages: Iterable[str]) -> str:
    """The image's name; its tag is the hash of what decides its content."""
    return f"{REPOSITORY}:{machine.recipe(packages)}"


def ensure(cache: Path, packages: list[str], base: Path) -> str:
    """The image's name, after Docker has it.

    Raises:
        LabError: Docker does not answer, or cannot import the image.
    """
    image = name(packages)
    if succeeds(["docker", "image", "inspect", image]):
        return image
    try:
        run(["docker", "version"])
    except LabError as error:
        raise LabError(f"Docker does not answer ({error}); start it, or name it by DOCKER_HOST") from None
    say(f"importing {image} into Docker (once; a few seconds)")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        layer = Path(folder)
        machine.prepare(layer, base)
        _import(image, base, layer)
    return image


def _import(image: str, base: Path, layer: Path) -> None:
    """Streams both folders into `docker import`; of two files with one name the later one stays."""
    layer.chmod(0o755)
    words = ["tar", "--create", "--numeric-owner", "--xattrs", "-C", str(base), ".", "-C", str(layer), "."]
    change = [
        "--change",
        'CMD ["/sbin/init"]',
        "--change",
        "STOPSIGNAL SIGRTMIN+3",
        "--change",
        "ENV container=docker",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            ["docker", "import", *change, "-", image],
            stdin=tar.stdout,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
    if done.returncode or tar.returncode:
        raise LabError(f"docker import of {image} failed: {done.stderr.strip() or 'tar ended early'}")
