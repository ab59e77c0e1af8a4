"""The host's own programs find Services by name, too: while the mesh runs its resolver asks the mesh first.

With systemd-resolved the mesh's interface gets name server and domain, which go with the interface. Otherwise
two lines come first in /etc/resolv.conf; they are put back when another program wrote the file anew, and
taken out at the end. If that fails, nobody listens at the address any more and the next server is asked.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.edgemesh.commands import CommandError, run

log = logging.getLogger("edgelab.edgemesh")

RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVED = Path("/run/systemd/resolve")
LOOK_SECONDS = 10.0
COMMENT = "# edgemesh-agent put the next line here and takes it out when it stops"


class HostNames:
    """A module; `leave` after `run`."""

    name = "hostnames"

    def __init__(
        self,
        interface: str,
        address: str,
        domain: str,
        *,
        file: Path = RESOLV_CONF,
        resolved: Path = RESOLVED,
        clock: Clock = SYSTEM,
    ) -> None:
        self._interface = interface
        self._address = address
        self._domain = domain
        self._file = file
        self._resolved = resolved
        self._clock = clock
        self._said = ""

    async def run(self) -> None:
        """Enter the mesh's name server, and see again and again that it is there."""
        while True:
            try:
                await self.enter()
                self._said = ""
            except (OSError, CommandError) as error:
                if str(error) != self._said:
                    log.warning("this host's own programs do not find Services by name: %s", error)
                self._said = str(error)
            await self._clock.sleep(LOOK_SECONDS)

    async def enter(self) -> None:
        """Tell the resolver. Raises OSError, CommandError."""
        if self._file.resolve().is_relative_to(self._resolved):
            await run("resolvectl", "dns", self._interface, self._address)
            await run("resolvectl", "domain", self._interface, f"~{self._domain}")
            return
        lines = self._file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        wanted = [COMMENT, self._line, *(line for line in lines if line not in (COMMENT, self._line))]
        if lines != wanted:
            self._write(wanted)

    def leave(self) -> None:
        """Take our lines out of the file; with systemd-resolved there are none."""
        try:
            if self._file.resolve().is_relative_to(self._resolved):
                return
            lines = self._file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            kept = [line for line in lines if line not in (COMMENT, self._line)]
            if kept != lines:
                self._write(kept)
        except OSError as error:
            log.warning("%s: our name server could not be taken out: %s", self._file, error.strerror)

    @property
    def _line(self) -> str:
        return f"nameserver {self._address}"

    def _write(self, lines: list[str]) -> None:
        """In place: in containers the file is a mount that cannot be replaced."""
        text = "\n".join([*lines, ""])
        self._file.write_text(text, encoding="utf-8", errors="surrogateescape")
