"""A host that is off beside the lab that is up: the whole of site.yml is finished on the others."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import REUSE
from tests.integration.lab import Lab, recap


def test_the_whole_site_is_finished_beside_a_host_that_is_off(lab: Lab, tmp_path: Path) -> None:
    subnet = lab.info["nodes"]["edge1"].rpartition(".")[0]
    more = tmp_path / "more.yml"
    host = f"{{edgelab_node_ip: {subnet}.99, ansible_host: {subnet}.99}}"
    more.write_text(f"edge: {{hosts: {{edge9: {host}}}}}\n", encoding="utf-8")
    try:
        run = lab.play("-i", str(more), check=False)
        counts = recap(run.output)
        assert (counts["edge1"]["failed"], counts["cloud"]["failed"]) == (0, 0), run.output[-4000:]
        assert counts["edge9"]["unreachable"] == 1
        assert "host edge9 cannot be reached: " in run.output
        assert lab.node_ready("edge1")
    finally:
        if REUSE:  # The tests that follow do not mind the name of one more host.
            lab.play()
