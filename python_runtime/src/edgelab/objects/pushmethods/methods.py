"""The methods, checked and complete. Equal `target`s are one place, which properties share.

`place` is for logs: it has neither user names nor passwords.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeAlias


class Login(NamedTuple):
    """User and password out of a URL, percent-encoded as they stand there."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Login(***)"


@dataclass(frozen=True, slots=True)
class Http:
    """POST of a form; `url` is without a login, `timeout` in seconds."""

    name: ClassVar[str] = "http"
    url: str
    timeout: float
    login: Login | None = field(default=None, repr=False)

    @property
    def target(self) -> Hashable:
        """Where connection and queue are shared."""
        return self

    @property
    def place(self) -> str:
        """For logs."""
        return self.url


@dataclass(frozen=True, slots=True)
class Mqtt:
    """A message on a topic."""

    name: ClassVar[str] = "mqtt"
    host: str
    port: int
    topic: str
    qos: int
    retained: bool
    login: Login | None = field(default=None, repr=False)

    @property
    def target(self) -> Hashable:
        """One connection to a broker for all topics."""
        return self.name, self.host, self.port, self.login

    @property
    def place(self) -> str:
        """For logs."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Otel:
    """A gauge by OTLP over HTTP."""

    name: ClassVar[str] = "otel"
    url: str
    login: Login | None = field(default=None, repr=False)

    @property
    def target(self) -> Hashable:
        """Where connection and queue are shared."""
        return self

    @property
    def place(self) -> str:
        """For logs."""
        return self.url


@dataclass(frozen=True, slots=True)
class Influxdb2:
    """A point of a measurement; `tags` are sorted and none is empty."""

    name: ClassVar[str] = "dbMethod.influxdb2"
    url: str
    org: str
    bucket: str
    measurement: str
    tags: tuple[tuple[str, str], ...]
    field_key: str
    login: Login | None = field(default=None, repr=False)

    @property
    def target(self) -> Hashable:
        """A bucket."""
        return self.name, self.url, self.login, self.org, self.bucket

    @property
    def place(self) -> str:
        """For logs."""
        return f"{self.url}, bucket {self.bucket}"


@dataclass(frozen=True, slots=True)
class Redis:
    """A member of a sorted set."""

    name: ClassVar[str] = "dbMethod.redis"
    host: str
    port: int
    db: int

    @property
    def target(self) -> Hashable:
        """A database."""
        return self

    @property
    def place(self) -> str:
        """For logs."""
        return f"{self.host}:{self.port}/{self.db}"


@dataclass(frozen=True, slots=True)
class TDEngine:
    """A row of a sub-table, by the REST API."""

    name: ClassVar[str] = "dbMethod.TDEngine"
    host: str
    port: int
    database: str

    @property
    def target(self) -> Hashable:
        """A database."""
        return self

    @property
    def place(self) -> str:
        """For logs."""
        return f"{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class Mysql:
    """A row of the property's table."""

    name: ClassVar[str] = "dbMethod.mysql"
    host: str
    port: int
    database: str
    user: str

    @property
    def target(self) -> Hashable:
        """A database and its user."""
        return self

    @property
    def place(self) -> str:
        """For logs."""
        return f"{self.host}:{self.port}/{self.database}"


Method: TypeAlias = Http | Mqtt | Otel | Influxdb2 | Redis | TDEngine | Mysql
