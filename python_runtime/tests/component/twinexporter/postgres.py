"""A real PostgreSQL in a directory and on a port of its own, run by an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from tests.component.twinexporter.conftest import free_port

PASSWORD = "correct horse"


def user() -> str | None:
    """PostgreSQL refuses to run as root: its package has made a user for that."""
    return "postgres" if os.getuid() == 0 else None


class PostgreSQL:
    def __init__(self) -> None:
        self.port = free_port()
        # Not below pytest's folders, which only their own user may enter.
        self.directory = Path(tempfile.mkdtemp(prefix="edgelab-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        assert programs, "postgresql is missing: scripts/bootstrap --test installs it"
        self._programs = programs[-1].parent
        self._make()

    def _make(self) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if (name := user()) is not None:
            entry = pwd.getpwnam(name)
            for path in (self.directory, secret):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        command = [
            *(str(self._programs / "initdb"), "--pgdata", str(self.directory / "data")),
            *("--username", "owner", "--pwfile", str(secret), "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ]
        done = subprocess.run(
            command, user=user(), cwd="/", capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "timezone": "Asia/Tokyo",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.directory / "data"), *words],
                stderr=log,
                user=user(),
                cwd="/",
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.directory / "log").read_text(encoding="utf-8")
                time.sleep(0.1)

    def stop(self) -> None:
        """An immediate shutdown: clients are cut off, and it recovers with the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)

    def dsn(self, name: str = "owner", password: str = PASSWORD, database: str = "postgres") -> str:
        where = f"host=127.0.0.1 port={self.port} dbname={database}"
        return f"{where} user={name} password='{password}'"

    def ask(self, statement: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(database=database), autocommit=True, connect_timeout=5) as connection:
            answer = connection.execute(statement, values)  # type: ignore[call-overload]
            return answer.fetchall() if answer.description else []

    def database(self, name: str) -> None:
        """Make a database anew."""
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.ask(f"CREATE DATABASE {name}")
