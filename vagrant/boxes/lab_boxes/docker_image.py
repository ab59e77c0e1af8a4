"""The image of the Docker provider's hosts: the local lab's root file system with Vagrant's user in it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nspawn_lab.shell import LabError, run, say, succeeds

from lab_boxes import machine

REPOSITORY = "edgelab/host"
INIT = """\
#!/bin/sh
# systemd hands credentials (LoadCredential=) to a service by a mount that spreads to it. It takes for granted
# that a container's manager lets mounts spread, as systemd-nspawn does and Docker does not.
mount --make-rshared / && exec /sbin/init "$@"
"""


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
        init = layer / "usr/local/sbin/container-init"
        init.parent.mkdir(parents=True)
        init.write_text(INIT, encoding="utf-8")
        init.chmod(0o755)
        _import(image, base, layer)
    return image


def _import(image: str, base: Path, layer: Path) -> None:
    """Streams the layer over the base into `docker import`; the mount is gone with the shell that made it."""
    layer.chmod(0o755)
    script = (
        'mount -t overlay overlay -o "lowerdir=$1:$2" "$3" && exec tar -c --numeric-owner --xattrs -C "$3" .'
    )
    with tempfile.TemporaryDirectory() as target:
        words = ["unshare", "--mount", "sh", "-c", script, "import", str(layer), str(base), target]
        change = ["--change", 'CMD ["/usr/local/sbin/container-init"]', "--change", "ENV container=docker"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as tar:
            done = subprocess.run(
                ["docker", "import", *change, "-", image],
                stdin=tar.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
    if done.returncode or tar.returncode:
        succeeds(["docker", "image", "rm", image])
        raise LabError(f"docker import of {image} failed: {done.stderr.strip() or 'tar ended early'}")
