"""Getting and renewing the node's certificate, in a short-lived child: `python -m edgelab.identity`.

The child holds the cryptography library and ends; this process never loads it. The join token goes
to it through standard input. Its last line on standard error is the message for the user.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
from dataclasses import dataclass
from pathlib import Path

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.notify import notify
from edgelab.edgecore.children import CUT_OFF, ChildFailed, identity
from edgelab.edgecore.edgehub import certificate

log = logging.getLogger(__name__)

UNREACHABLE = 6
"""The child's exit status when CloudCore cannot be reached (`edgelab.identity.enrol.Code`)."""

CHILD_TIMEOUT = 60.0
LONGEST_SLEEP = 3600.0
"""The wait for a renewal is cut into pieces, so that a corrected clock is noticed."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where CA, certificate, key and join token lie."""

    ca: Path
    certificate: Path
    key: Path
    bootstrap: Path


class Enrolment:
    """The node's certificate: there before the first connection, renewed before it runs out."""

    def __init__(self, server: str, node: str, files: Files, token: str, clock: Clock) -> None:
        self._server = server
        self._node = node
        self._files = files
        self._token = token
        self._clock = clock

    async def ensure(self, *, patient: bool = False) -> None:
        """Return when there is a certificate for this node, enrolling if need be.

        Waits for an unreachable CloudCore as long as it takes. Raises Fatal for what no waiting mends; a
        `patient` node, which has joined before and has pods to run, waits for a token even then.
        """
        if any(
            path.with_name(path.name + ".new").exists() for path in (self._files.certificate, self._files.key)
        ):
            with contextlib.suppress(Fatal):  # a renewal was cut short; its child knows how to finish
                await self._child("check", "")
        waits, told = delays(1, 60 if patient else 15), ""
        while problem := self.problem():
            try:
                await self._join(problem)
            except Unreachable as error:
                text = f"cannot join yet: {error}"
                notify(STATUS=f"waiting to join: {error}")
            except Fatal as error:
                if not patient:
                    raise
                text = f"{error}; working offline until then"
                notify(STATUS=f"offline: {error}")
            else:
                return
            log.log(logging.DEBUG if text == told else logging.WARNING, "%s", text)
            told = text
            await self._clock.sleep(next(waits))

    async def anew(self) -> bool:
        """Get another certificate with the token that is there; False when there is none.

        Raises Unreachable and Fatal, whose text says what to do.
        """
        if not (token := self._read_token()):
            return False
        await self._child("enrol", token)
        log.info("joined anew as %s", self._node)
        return True

    async def _join(self, problem: str) -> None:
        if not (token := self._read_token()):
            raise Fatal(
                f"{problem}, and there is no join token: put the output of `keadm gettoken` into "
                f"{self._files.bootstrap} or modules.edgeHub.token"
            )
        await self._child("enrol", token)
        if problem := self.problem():
            raise Fatal(f"joining gave no usable certificate: {problem}")
        log.info("joined as %s; the certificate is %s", self._node, self._files.certificate)

    async def renew_in_time(self) -> None:
        """Wait for the moment of renewal (70 to 90 % of the lifetime) and renew.

        The original retries with 2 s doubling to 32 s for ever, and so does this.
        """
        await self._sleep_until(self._deadline())
        waits = delays(2, 32, floor=0.9)
        while True:
            try:
                await self._child("renew", "")
            except (Unreachable, Fatal) as error:
                log.warning("the certificate could not be renewed: %s", error)
                await self._clock.sleep(next(waits))
            else:
                log.info("the node's certificate is renewed")
                return

    def problem(self) -> str:
        """Why the certificate cannot be used; empty when it can."""
        found = certificate.read(self._files.certificate)
        if found is None:
            return f"there is no certificate in {self._files.certificate}"
        wanted = f"system:node:{self._node}"
        if found.common_name != wanted:
            return f"{self._files.certificate} belongs to {found.common_name!r}, not to {wanted!r}"
        if found.not_after <= self._clock.now():
            return f"{self._files.certificate} ran out at {found.not_after.isoformat()}"
        missing = next((path for path in (self._files.key, self._files.ca) if not path.exists()), None)
        return f"{missing} is missing" if missing else ""

    def _read_token(self) -> str:
        try:
            return self._files.bootstrap.read_text(encoding="utf-8").strip() or self._token
        except FileNotFoundError:
            return self._token
        except OSError as error:
            raise Fatal(
                f"the join token in {self._files.bootstrap} cannot be read: {error.strerror}"
            ) from error

    def _deadline(self) -> dt.datetime:
        found = certificate.read(self._files.certificate)
        if found is None:
            return self._clock.now()
        lifetime = found.not_after - found.not_before
        return found.not_before + lifetime * random.uniform(0.7, 0.9)  # noqa: S311 - spread, not secrecy

    async def _sleep_until(self, moment: dt.datetime) -> None:
        while (left := (moment - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, LONGEST_SLEEP))

    async def _child(self, command: str, token: str) -> None:
        arguments = ["--server", self._server, "--node", self._node, "--ca-file", str(self._files.ca)]
        arguments += ["--cert-file", str(self._files.certificate), "--key-file", str(self._files.key)]
        try:
            await identity(command, *arguments, standard_input=token, seconds=CHILD_TIMEOUT)
        except ChildFailed as failure:
            if failure.status == CUT_OFF:
                raise Unreachable(f"{self._server} did not answer within {CHILD_TIMEOUT:g} s") from None
            raise failure if failure.status == UNREACHABLE else Fatal(str(failure)) from None
