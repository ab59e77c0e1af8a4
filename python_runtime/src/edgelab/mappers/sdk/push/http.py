"""`pushMethod.http`: a POST for each sample (KubeEdge `_template/mapper/data/publish/http/client.go`)."""

from __future__ import annotations

from collections.abc import Sequence

from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import Item, Target
from edgelab.mappers.sdk.push.web import Web, check, login_header
from edgelab.objects.pushmethods import Http

SLACK = 1.0


class HttpTarget(Target):
    """One URL."""

    batch = 1

    def __init__(self, method: Http) -> None:
        self.deadline = method.timeout + SLACK  # aiohttp's own timeout says what happened
        self._url = method.url
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", **login_header(method.login)}
        self._web = Web(method.timeout)

    async def send(self, items: Sequence[Item]) -> None:
        """One request for each."""
        for item in items:
            check(await self._web.post(self._url, form(item.sample), self._headers))

    async def close(self) -> None:
        """Hang up."""
        await self._web.close()


def form(sample: Sample) -> bytes:
    """`<property>=<value>&time=YYYY-MM-DD HH:MM:SS`, unescaped: what KubeEdge's receivers get."""
    return f"{sample.prop}={sample.value}&time={sample.local_time()}".encode()
