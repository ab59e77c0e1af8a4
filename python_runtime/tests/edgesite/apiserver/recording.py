"""Records the answers of a kube-apiserver to scenarios of `../vectors`, or compares with them.

    python -m tests.edgesite.apiserver.recording record|compare KUBECONFIG SCENARIO...

The kubeconfig names an administrator by a client certificate.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tests.edgesite.apiserver.replaying import VECTORS, Replay, differences

from edgelab.kube import kubeconfig


@dataclass
class Server:
    base: str
    admin: aiohttp.ClientSession
    anonymous: aiohttp.ClientSession


async def answers(path: str, scenario: str) -> dict[str, Any]:
    config = kubeconfig.load(Path(path))
    headers, trust = {"User-Agent": "recording"}, ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connectors = [aiohttp.TCPConnector(ssl=context) for context in (config.ssl_context(), trust)]
    async with (
        aiohttp.ClientSession(connector=connectors[0], headers=headers) as admin,
        aiohttp.ClientSession(connector=connectors[1], headers=headers) as anonymous,
    ):
        suffix = "-r" + "".join(secrets.choice("abcdefghjkmnp") for _ in range(5))
        return await Replay(Server(config.server.rstrip("/"), admin, anonymous), scenario, suffix).run()


def main() -> None:
    action, path, *scenarios = sys.argv[1:]
    for scenario in scenarios:
        found = asyncio.run(answers(path, scenario))
        file = VECTORS / f"{scenario}.json"
        if action == "record":
            file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(f"{scenario}: {len(found)} answers recorded")
            continue
        wanted = json.loads(file.read_text())
        different = differences(wanted, found)
        for name, paths in different.items():
            print(
                name,
                *(f"    {where}: {left!r} | {right!r}" for where, (left, right) in paths.items()),
                sep="\n",
            )
        print(f"{scenario}: {len(wanted) - len(different)} of {len(wanted)} answers agree")


if __name__ == "__main__":
    main()
