"""`pushMethod.dbMethod.redis`: a sorted set for each device (`_template/mapper/data/dbmethod/redis`)."""

from __future__ import annotations

from collections.abc import Sequence

import redis.asyncio as client
from redis.exceptions import RedisError, ResponseError

from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.push.credentials import secret
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import DEADLINE, Item, Refused, Target
from edgelab.objects.pushmethods import Redis

CONNECT = 5.0
FINAL = ("WRONGTYPE",)
"""Answers that no later time changes."""


class RedisTarget(Target):
    """One database, over one connection."""

    def __init__(self, method: Redis) -> None:
        self._method = method
        self._client: client.Redis | None = None

    async def send(self, items: Sequence[Item]) -> None:
        """All in one transaction."""
        try:
            async with self._connected().pipeline(transaction=True) as pipe:
                for item in items:
                    pipe.zadd(key(item.sample), {item.sample.data_model(): item.sample.time})
                await pipe.execute()
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError) and any(word in str(error) for word in FINAL):
                raise Refused(str(error)) from None
            await self.close()  # the password is read anew
            raise Unreachable(str(error) or type(error).__name__) from None

    def _connected(self) -> client.Redis:
        if self._client is None:
            self._client = client.Redis(
                host=self._method.host,
                port=self._method.port,
                db=self._method.db,
                password=secret("PASSWORD") or None,
                socket_connect_timeout=CONNECT,
                socket_timeout=DEADLINE,
            )
        return self._client

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            found, self._client = self._client, None
            await found.aclose()


def key(sample: Sample) -> str:
    """The device's name alone: two of one name in two namespaces share a set, and differ in `Namespace`."""
    return sample.device
