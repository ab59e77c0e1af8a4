"""`keadm ctl` with what an edge node has installed: that lacks aiohttp."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.edgecore.processes import free_port

WITHOUT_AIOHTTP = "import sys; sys.modules['aiohttp'] = None; from edgelab.keadm.__main__ import main; main()"


@pytest.mark.parametrize("words", [["get", "pod"], ["restart", "pod", "web"], ["confirm"]])
def test_metaserver_is_asked_without_aiohttp(tmp_path: Path, words: list[str]) -> None:
    config = tmp_path / "edgecore.yaml"
    server = f"127.0.0.1:{free_port()}"
    config.write_text(f'modules: {{metaManager: {{metaServer: {{enable: true, server: "{server}"}}}}}}\n')
    command = [sys.executable, "-c", WITHOUT_AIOHTTP, "ctl", *words, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"MetaServer at http://{server} does not answer" in done.stderr
