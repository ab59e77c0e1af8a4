"""The mapper in docs/how-to/write-a-mapper.md, against a device that speaks as it says."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

from edgelab.mappers.sdk import Device, Driver, Property

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-mapper.md"


def shown() -> str:
    (code,) = re.findall(
        r"^(    # gauge\.py.*?)^The seven duties", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    return textwrap.dedent(code)


async def test_the_page_shows_a_mapper_that_works() -> None:
    registers, hung_up = {"7": "21.5"}, asyncio.Event()

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().split():
            if line[0] == "set":
                registers[line[1]] = line[2]
            writer.write(f"{registers[line[1]]}\n".encode())
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(device, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    names: dict[str, Any] = {"__name__": "gauge"}
    exec(shown(), names)
    assert len([line for line in shown().splitlines() if line.strip()]) <= 30
    gauge: Driver = names["Gauge"](Device("default", "g", config={"host": "127.0.0.1", "port": port}))
    prop = Property("level", "float", visitor={"register": 7})
    await gauge.close()
    await gauge.open()
    assert await gauge.read(prop) == 21.5
    await gauge.write(prop, 3.25)
    assert await gauge.read(prop) == 3.25
    await gauge.close()
    await hung_up.wait()
    server.close()
