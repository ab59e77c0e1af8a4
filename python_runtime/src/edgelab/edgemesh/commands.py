"""Programs of the host that the mesh runs: `ip`, `nft`, `conntrack`, `resolvectl`."""

from __future__ import annotations

import asyncio
import os

PACKAGES = {"conntrack": "conntrack", "ip": "iproute2", "nft": "nftables", "resolvectl": "systemd-resolved"}

NOTIFY = "NOTIFY_SOCKET"
"""Where the mesh tells systemd of itself; a program that finds it would do so for the mesh."""


class CommandError(Exception):
    """A program failed or is not there; `str()` says which and why."""


async def run(*words: str, text: str = "") -> str:
    """What a program prints that reads `text`. Raises CommandError."""
    environment = {name: value for name, value in os.environ.items() if name != NOTIFY}
    source = os.memfd_create(words[0])  # no pipe: a program may end before it has read it
    try:
        os.write(source, text.encode())
        os.lseek(source, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
    except FileNotFoundError:
        package = PACKAGES.get(words[0], words[0])
        raise CommandError(f"the program `{words[0]}` is missing (package {package})") from None
    finally:
        os.close(source)
    output, errors = await process.communicate()
    if process.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise CommandError(f"`{' '.join(words)}`: {lines[0] if lines else f'status {process.returncode}'}")
    return output.decode(errors="replace")
