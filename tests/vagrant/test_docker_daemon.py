"""The Docker daemon of a lab's own: it serves, and nothing of it is left."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pytest
from lab_boxes.docker_daemon import Daemon
from nspawn_lab.definition import Lab
from nspawn_lab.shell import LabError

CHECKOUT = Path(__file__).resolve().parents[2]


def test_it_serves_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".cache") as folder:
        lab = Lab(Path(folder))
        daemon = Daemon(lab)
        try:
            daemon.start()
            assert daemon.docker("info", "--format", "{{.Driver}}").strip()
            # Another object, as another run of the program has: it finds the daemon by its file.
            assert Daemon(lab).answers()
        finally:
            daemon.stop()
        assert daemon.pid() is None
        assert not daemon.run_folder.exists()
        assert not (Path("/sys/class/net") / lab.mark).exists()
    gc.collect()


def test_a_daemon_that_cannot_start_tells_the_end_of_its_log() -> None:
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".cache") as folder:
        daemon = Daemon(Lab(Path(folder)))
        # A folder where dockerd wants a file.
        (daemon.run_folder / "docker.sock").mkdir(parents=True)
        try:
            with pytest.raises(LabError, match="dockerd did not start"):
                daemon.start()
        finally:
            daemon.stop()
