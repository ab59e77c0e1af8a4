"""A box that was replaced by another one and comes back: it does not serve beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.operation.test_following import following, names, until_in_step, write

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import find_fatal
from edgelab.edgesite.__main__ import main
from edgelab.edgesite.operation import archive, wire
from edgelab.edgesite.operation.copies import term_of
from edgelab.edgesite.operation.restore import demote, promote, restore

GONE = "has been made the site in place of this one, which does not serve any more"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def refused(words: str) -> AsyncIterator[None]:
    """The body ends with a Fatal of these words, in whatever group of tasks."""
    try:
        yield
    except (Fatal, BaseExceptionGroup) as error:
        found = find_fatal(error)
        assert found is not None
        assert words in str(found)
    else:
        pytest.fail("nothing was refused")


async def followed(tmp_path: Path) -> None:
    """The state of a site in `first`, and a copy of it in `second`."""
    async with running(tmp_path / "first") as client:
        await write(client, "shared")
        async with following(tmp_path / "first/kubeconfig", tmp_path / "second/data"):
            await until_in_step(client)


async def term(client: Client) -> int:
    status, found = await client.call("GET", wire.TERM)
    assert status == 200
    return int(found["term"])


async def test_a_box_that_comes_back_does_not_serve_beside_the_one_that_took_over(tmp_path: Path) -> None:
    await followed(tmp_path)
    promote(tmp_path / "second/data")
    async with running(tmp_path / "second") as second:
        assert await term(second) == 1
        assert (await second.call("GET", wire.TERM, token=""))[0] == 403
        async with refused(f"{second.base} {GONE}"), running(tmp_path / "first", peers=(second.base,)):
            pytest.fail("it serves")
        await write(second, "goes-on")
    async with running(tmp_path / "first", peers=(second.base,)) as first:
        assert await names(first) == {"shared"}, "a peer that does not answer keeps nobody from serving"


async def test_a_box_that_was_cut_off_ends_as_soon_as_it_hears_of_the_other(tmp_path: Path) -> None:
    await followed(tmp_path)
    promote(tmp_path / "second/data")
    port = free_port()
    peer = f"https://127.0.0.1:{port}"
    async with refused(f"{peer} {GONE}"), running(tmp_path / "first", peers=(peer,)) as first:
        assert (await first.call("GET", "/readyz"))[0] == 200
        # The one that was promoted knows of the first one as well, and goes on.
        async with running(tmp_path / "second", port=port, peers=(first.base,)) as second:
            async with asyncio.timeout(10):
                with contextlib.suppress(aiohttp.ClientError):
                    while (await first.call("GET", "/readyz"))[0] == 200:
                        await asyncio.sleep(0.1)
            assert (await second.call("GET", "/readyz"))[0] == 200


async def test_of_two_that_began_as_late_the_one_that_serves_goes_on(tmp_path: Path) -> None:
    """A backup restored on the first box, after the second was promoted."""
    await followed(tmp_path)
    backup, _ = archive.write(tmp_path / "first/data", tmp_path, SYSTEM)
    promote(tmp_path / "second/data")
    restore(backup, tmp_path / "first/data", force=True)
    async with (
        running(tmp_path / "second") as second,
        refused(GONE),
        running(tmp_path / "first", peers=(second.base,)),
    ):
        pytest.fail("it serves")
    restore(backup, tmp_path / "first/data", force=True)
    assert term_of(tmp_path / "absent/state.db") == 0
    async with running(tmp_path / "first") as first:
        assert await term(first) == 2, "each restore is later than what it replaces"


async def test_who_cannot_be_asked_or_is_of_another_site_keeps_nobody_from_serving(tmp_path: Path) -> None:
    async with running(tmp_path / "other") as other:
        peers = (other.base, f"https://127.0.0.1:{free_port()}")
        async with running(tmp_path / "first", peers=peers) as first:
            assert (await first.call("GET", "/readyz"))[0] == 200


async def test_the_box_that_was_replaced_becomes_the_follower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await followed(tmp_path)
    promote(tmp_path / "second/data")
    async with running(tmp_path / "second") as second:
        await write(second, "goes-on")
        assert main(["demote", "--data-dir", str(tmp_path / "first/data"), "--output=json"]) == 0
        assert '"changed":true' in capsys.readouterr().out
        assert (tmp_path / "first/data/replaced/state.db").exists()
        async with following(tmp_path / "second/kubeconfig", tmp_path / "first/data"):
            await until_in_step(second)
        assert demote(tmp_path / "first/data") is None, "a copy stays where it is"
    promote(tmp_path / "first/data")
    async with running(tmp_path / "first") as first:
        assert await names(first) == {"shared", "goes-on"}
        assert await term(first) == 2


def test_a_peer_is_a_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "--peer", "box2"]) == 2
    assert "--peer box2: give a URL, for example https://192.0.2.11:6443" in capsys.readouterr().err
