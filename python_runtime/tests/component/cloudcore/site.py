"""EdgeSite and CloudCore as processes, for one test each."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.component.cloudcore.test_chain import BIN, Place, free_port, started, stop, wait_until


@contextlib.contextmanager
def edgesite(directory: Path) -> Iterator[Place]:
    """A control plane with CloudCore's kinds, until the block ends."""
    place = Place(directory, free_port(), free_port(), free_port())
    arguments = ["server", "--data-dir", directory / "site", "--listen", f"127.0.0.1:{place.api}"]
    arguments += ["--advertise-address", "127.0.0.1", "--write-kubeconfig", place.kubeconfig]
    log = directory / "site.log"
    process = started([BIN / "edgesite", *arguments], log)
    try:
        wait_until(place.kubeconfig.exists)
        wait_until(lambda: "serving" in log.read_text())
        command = [BIN / "keadm", "init", "--cluster-only", "--kube-config", place.kubeconfig]
        subprocess.run(command, check=True, capture_output=True)
        yield place
    finally:
        stop(process)


@contextlib.contextmanager
def cloudcore(
    place: Place,
    *,
    hub: dict[str, Any] | None = None,
    gates: dict[str, bool] | None = None,
    modules: dict[str, Any] | None = None,
    edgelab: dict[str, Any] | None = None,
    name: str = "cloudcore",
) -> Iterator[Path]:
    """CloudCore with fields of modules.cloudHub, featureGates, other modules and edgelab; gives its log.

    `name`: of its files, when there are several in one place.
    """
    names = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
    settings = {
        "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
        "edgelab": edgelab or {},
        "featureGates": gates or {},
        "kubeAPIConfig": {"kubeConfig": str(place.kubeconfig)},
        "modules": {
            "cloudHub": {
                "advertiseAddress": ["127.0.0.1"],
                **{field: str(place.directory / "none" / field) for field in names},
                "websocket": {"address": "127.0.0.1", "port": place.nodes},
                "https": {"address": "127.0.0.1", "port": place.https},
                **(hub or {}),
            },
            **(modules or {}),
        },
    }
    path, log = place.directory / f"{name}.yaml", place.directory / f"{name}.log"
    path.write_text(yaml.safe_dump(settings))
    process = started([BIN / "cloudcore", "--config", path], log)
    try:
        wait_until(lambda: "serves edge nodes" in log.read_text())
        yield log
    finally:
        stop(process)
