"""The command line: the result's name on standard output, progress and errors on standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from nspawn_lab.locks import exclusive
from nspawn_lab.shell import LabError, run

from lab_boxes import disk, docker_image


def main(arguments: list[str]) -> int:
    """Builds what is missing; 0 when it is there afterwards, 1 with one line on standard error when not."""
    parser = argparse.ArgumentParser(prog="boxes", description="Box and image of the Vagrant lab.")
    parser.add_argument("--cache", required=True, type=Path, help="folder that keeps what is built")
    parser.add_argument("--packages", required=True, help="Debian packages of a host, separated by commas")
    parser.add_argument("--key", action="store_true", help="only print the image's name; build nothing")
    parser.add_argument("what", choices=["libvirt", "docker"])
    options = parser.parse_args(arguments)
    cache = Path(os.path.realpath(options.cache))
    packages = options.packages.split(",")
    try:
        if options.key:
            print(docker_image.name(packages))
            return 0
        cache.mkdir(parents=True, exist_ok=True)
        # Vagrant may bring several machines up at once; the first one builds, the others wait.
        with exclusive(cache / ".boxes.lock"):
            folder = base(cache, options.packages)
            if options.what == "docker":
                print(docker_image.ensure(cache, packages, folder))
            else:
                print(disk.ensure(cache, packages, folder))
    except LabError as error:
        print(f"boxes: {error}", file=sys.stderr)
        return 1
    return 0


def base(cache: Path, packages: str) -> Path:
    """The root file system of the local lab's hosts, which the lab's own program builds once."""
    command = [sys.executable, "-m", "nspawn_lab", "rootfs", "--cache", str(cache), "--packages", packages]
    return Path(json.loads(run(command))["path"])
