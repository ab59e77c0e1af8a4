"""EdgeCore's memory is a promise: what the resident process loads, and how big it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.component.edgecore.mqtt_client import mqtt_client
from tests.edgecore.cloud_peer import Pki, cloud_peer, configuration, confirm_twins
from tests.edgecore.processes import edgecore, mosquitto

FORBIDDEN = (
    "cryptography",
    "aiohttp",
    "kubernetes",
    "typer",
    "rich",
    "amqtt",
    "grpc/",
    "google/_upb",
    "edgelab/kube/",
)
CEILING_MIB = 40


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Rss")


async def test_the_process_without_edged_stays_small(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path)
    async with mosquitto(tmp_path) as broker, cloud_peer(pki) as cloud:
        cloud.answers.append(confirm_twins)
        bus = {"enable": True, "mqttServerExternal": f"tcp://127.0.0.1:{broker}"}
        config = configuration(tmp_path, cloud.port, eventBus=bus)
        async with edgecore(config) as process, mqtt_client(broker) as client:
            await process.wait_for_line("connected to MQTT broker")
            await cloud.wait_for(lambda m: m.route.operation == "keepalive")
            added = [{"id": f"default/d{n}", "name": f"d{n}"} for n in range(20)]
            content = {"added_devices": added, "removed_devices": None}
            await cloud.push("update", "membership", content, source="devicecontroller", group="twin")
            for value in range(20):
                for n in range(20):
                    client.update(f"default/d{n}", temperature=str(value))
                await asyncio.sleep(0.02)
            await cloud.wait_for(lambda m: b'"19"' in bytes(m.content))
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            for name in FORBIDDEN:
                assert name not in maps, f"{name} is loaded"
            size = resident(process.pid)
            print(f"resident: {size:.1f} MiB")
            assert size < CEILING_MIB


@pytest.mark.parametrize(
    "name",
    [
        "cryptography",
        "aioquic",
        "aiohttp",
        "kubernetes",
        "typer",
        "rich",
        "grpclib",
        "google",
        "edgelab.kube",
    ],
)
async def test_no_enabled_module_imports_what_is_too_heavy_for_a_node(name: str) -> None:
    import sys

    code = (
        "import sys, edgelab.edgecore.app, edgelab.edgecore.edgehub.hub, edgelab.edgecore.edgehub.connection,"
        "edgelab.edgecore.devicetwin.module, edgelab.edgecore.dmi.module, edgelab.edgecore.eventbus.bus,"
        "edgelab.edgecore.eventbus.external, edgelab.edgecore.eventbus.internal,"
        "edgelab.edgecore.edgestream.module,"
        "edgelab.edgecore.metamanager.metaserver.access,"
        "edgelab.edgecore.metamanager.metaserver.server, edgelab.edgecore.metamanager.metaserver.serving\n"
        f"sys.exit(any(m == {name!r} or m.startswith({name!r} + '.') for m in sys.modules))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await child.wait() == 0


async def test_what_libraries_import_without_need_is_not_run() -> None:
    import sys

    code = (
        "import sys\n"
        "from edgelab.daemon.deferred import defer\n"
        "from edgelab.edgecore.__main__ import UNUSED\n"
        "defer(*UNUSED)\n"
        "import edgelab.edgecore.app, edgelab.edgecore.edged, edgelab.edgecore.edgehub.hub\n"
        "import edgelab.edgecore.edgehub.connection, edgelab.edgecore.eventbus.bus\n"
        "import edgelab.edgecore.devicetwin.module\n"
        "import edgelab.cri.api.runtime_pb2 as pb\n"
        "assert pb.VersionRequest.FromString(b'\\x0a\\x011').version == '1'\n"
        "assert len(UNUSED) == 3\n"
        "needless = ['http.client', 'email', 'zipfile', 'google.protobuf.text_format', 'grpclib', 'h2']\n"
        "loaded = [name for name in needless if name in sys.modules]\n"
        "loaded += [name for name in UNUSED if type(sys.modules[name]).__name__ != '_Deferred']\n"
        "sys.exit(', '.join(loaded) or 0)\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")


async def test_a_metaserver_that_is_off_is_not_loaded(tmp_path: Path) -> None:
    import sys

    code = (
        "import asyncio, pathlib, sys\n"
        "from edgelab.daemon.clock import SYSTEM\n"
        "from edgelab.edgecore import app, store\n"
        "from edgelab.settings import edgecore\n"
        "async def main():\n"
        "    settings = edgecore.EdgeCore()\n"
        "    settings.modules.edged.enable = settings.modules.eventBus.enable = False\n"
        f"    async with store.Store(pathlib.Path({str(tmp_path / 'x.db')!r}), ()) as db:\n"
        "        app.build(settings, db, SYSTEM)\n"
        "asyncio.run(main())\n"
        "loaded = [m for m in sys.modules if 'metaserver' in m or m.endswith('metamanager.mirror')]\n"
        "sys.exit(', '.join(loaded) or 0)\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")
