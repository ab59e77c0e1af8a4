"""One HTTP server: POST requests over a connection that stays."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from edgelab import __version__
from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.push.credentials import plain
from edgelab.mappers.sdk.push.target import Refused
from edgelab.objects.pushmethods import Login

AGENT = f"edgelab/{__version__}"
LATER = frozenset({401, 403, 404, 407, 408, 425, 429})
"""Statuses below 500 after which the same request may be taken later, when settings were mended."""
IDLE = 75.0
"""Seconds that a connection stays without requests: longer than most cycles."""
LONGEST_ANSWER = 65_536
EXCERPT = 200


class Answer(NamedTuple):
    """A status, and the beginning of the body."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """What can be shown of the body."""
        return " ".join(self.body.decode("utf-8", "replace").split())[:EXCERPT]


class Web:
    """Connects with the first request, and again when the server has hung up."""

    def __init__(self, timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Any answer of the server; redirects are not followed. Raises Unreachable."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=IDLE),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": AGENT},
            )
        try:
            try:
                return await self._post(self._session, url, body, headers)
            except aiohttp.ServerDisconnectedError:  # it was tired of an idle connection
                return await self._post(self._session, url, body, headers)
        except TimeoutError:
            raise Unreachable("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(_cause(error)) from None

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            found = b""
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) > LONGEST_ANSWER:
                    break
            for word in _secrets(headers.get("Authorization", "")):
                found = found.replace(word, b"***")  # some servers answer with what they were asked
            return Answer(response.status, found)

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _cause(error: BaseException) -> str:
    """The system's words, where there are some."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return error.strerror
    if isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, OSError):
        return _cause(error.__cause__)
    return str(error) or type(error).__name__


def _secrets(authorization: str) -> list[bytes]:
    """What of a header must not be shown: the credential, and the password in it."""
    kind, _, credential = authorization.partition(" ")
    words = [credential.encode()]
    if kind == "Basic":
        words.append(base64.b64decode(credential).partition(b":")[2])
    return [word for word in words if word]


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication; none without a user."""
    if not user:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def login_header(login: Login | None) -> dict[str, str]:
    """The header for a login that stands in a URL."""
    return basic(*plain(login))


def check(answer: Answer) -> None:
    """See whether it was taken. Raises Unreachable and Refused."""
    if 200 <= answer.status < 300:
        return
    text = f"status {answer.status}" + (f": {answer.text}" if answer.text else "")
    if answer.status in LATER or answer.status >= 500:
        raise Unreachable(text)
    raise Refused(text)
