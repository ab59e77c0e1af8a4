"""Who may log in to the internal broker, and who may read and write which topic.

Both files are Mosquitto's own (`mosquitto_passwd(1)`, `acl_file` of `mosquitto.conf(5)`), so that what a
node has for Mosquitto serves here too. They hold secrets and rights, hence mode 0600. A changed file is
taken over while EdgeCore runs; one that cannot be read then is named, and the last good one stays.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from pathlib import Path
from typing import NamedTuple

from edgelab.daemon.errors import Fatal
from edgelab.edgecore.eventbus.broker.acl import Acl, Right, read_acl

log = logging.getLogger(__name__)

SLOWEST = 20_000
"""PBKDF2 iterations: about 20 ms, in which EdgeCore does nothing else. mosquitto_passwd makes 101."""


UNREADABLE = (0, 0, 0)
"""Stands for the state of a file that could not be read: that is told once."""

DECISIONS = 2048
"""Answers about rights that are remembered; then all are forgotten and found anew."""


class BadFile(Exception):
    """A file cannot be used; the text names it, the line and what to do."""


class _Hash(NamedTuple):
    iterations: int
    """0 for SHA-512 of password and salt (`$6$`), else PBKDF2 (`$7$`)."""
    salt: bytes
    digest: bytes

    def accepts(self, password: bytes) -> bool:
        if self.iterations:
            found = hashlib.pbkdf2_hmac("sha512", password, self.salt, self.iterations, len(self.digest))
        else:
            found = hashlib.sha512(password + self.salt).digest()
        return hmac.compare_digest(found, self.digest)


class _Watched:
    """A private file that is read again when it has changed."""

    def __init__(self, path: str, setting: str) -> None:
        self.path = Path(path)
        self.setting = setting
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> str | None:
        """The file's text, or None if it is as it was. Raises BadFile."""
        try:
            state = self.path.stat()
            seen = (state.st_mtime_ns, state.st_ino, state.st_mode)
            text = "" if seen == self._seen else self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if self._seen == UNREADABLE:
                return None
            self._seen = UNREADABLE
            raise BadFile(f"{self}: {getattr(error, 'strerror', None) or error}") from None
        if seen == self._seen:
            return None
        self._seen = seen
        if state.st_mode & 0o077:
            mode = f"{state.st_mode & 0o7777:04o}"
            raise BadFile(f"{self} can be read by others (mode {mode}): chmod 600 {self.path}")
        return text

    def __str__(self) -> str:
        return f"{self.setting}: {self.path}"


class Access:
    """Users and rules. Without a file of users everyone may log in; without rules, do everything."""

    def __init__(self, password_file: str, acl_file: str) -> None:
        self._users: dict[str, _Hash] | None = None
        self._acl: Acl | None = None
        self._decided: dict[tuple[Right, str, str, str], bool] = {}
        self._password_file = _Watched(password_file, "edgelab.mqtt.passwordFile") if password_file else None
        self._acl_file = _Watched(acl_file, "edgelab.mqtt.aclFile") if acl_file else None
        try:
            self._read()
        except BadFile as error:
            raise Fatal(str(error)) from None

    @property
    def anonymous(self) -> bool:
        """Whether nobody needs a password."""
        return self._users is None

    def refresh(self) -> bool:
        """Read what has changed; whether anything has."""
        try:
            return self._read()
        except BadFile as error:
            log.warning("%s; what was read before stays in force", error)
            return False

    def knows(self, user: str) -> bool:
        """Whether a client that logged in as `user` might do so now."""
        return self._users is None or user in self._users

    def may_log_in(self, user: str | None, password: bytes | None) -> bool:
        """Whether a client is who it says it is."""
        if self._users is None:
            return True
        known = self._users.get(user or "")
        return known is not None and password is not None and known.accepts(password)

    def allows(self, right: Right, user: str, client_id: str, topic: str) -> bool:
        """Whether a client may publish on a topic (`write`), or receive what others publish (`read`)."""
        if self._acl is None:
            return True
        question = (right, user, client_id, topic)
        if (answer := self._decided.get(question)) is None:
            if len(self._decided) >= DECISIONS:
                self._decided.clear()
            answer = self._decided[question] = self._acl.allows(*question)
        return answer

    def _read(self) -> bool:
        changed = False
        if self._password_file and (text := self._password_file.changed()) is not None:
            self._users = _users(text, str(self._password_file))
            changed = True
        if self._acl_file and (text := self._acl_file.changed()) is not None:
            try:
                self._acl = read_acl(text)
            except ValueError as error:
                raise BadFile(f"{self._acl_file}, {error}") from None
            self._decided.clear()
            changed = True
        return changed


def _users(text: str, where: str) -> dict[str, _Hash]:
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, secret = line.strip().partition(":")
        try:
            users[name] = _hash(secret)
        except ValueError as error:
            raise BadFile(f"{where}, line {number}: {error}") from None
    return users


def _hash(secret: str) -> _Hash:
    iterations = 0
    match secret.split("$"):
        case ["", "6", salt, digest]:
            pass
        case ["", "7", count, salt, digest] if count.isdecimal():
            iterations = int(count)
            if not 0 < iterations <= SLOWEST:
                raise ValueError(f"{iterations} iterations; 1 to {SLOWEST} are taken")
        case _:
            raise ValueError("expected USER:HASH as mosquitto_passwd writes it")
    return _Hash(iterations, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True))
