"""Quotas are charged by what is written, and by nothing else."""

from __future__ import annotations

import asyncio

from tests.edgesite.apiserver.running import Client

PATH = "/api/v1/namespaces/default"


async def used(client: Client) -> int:
    """What the quota says of ConfigMaps, once its controller has seen it."""
    while True:
        _, found = await client.call("GET", f"{PATH}/resourcequotas/q")
        if "used" in found["status"]:
            return int(found["status"]["used"]["configmaps"])
        await asyncio.sleep(0.01)


async def test_only_what_is_created_is_charged_and_at_once(client: Client) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "9"}}}
    await client.call("POST", f"{PATH}/resourcequotas", quota)
    before = await used(client)
    answers = [
        await client.call("POST", f"{PATH}/configmaps{query}", {"metadata": {"name": name}})
        for name, query in (("one", ""), ("one", ""), ("dry", "?dryRun=All"), ("Wrong", ""))
    ]
    assert [status for status, _ in answers] == [201, 409, 201, 422]
    assert await used(client) == before + 1


async def test_writers_at_the_same_time_get_no_more_than_there_is(client: Client) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "9"}}}
    await client.call("POST", f"{PATH}/resourcequotas", quota)
    before = await used(client)
    answers = await asyncio.gather(
        *(client.call("POST", f"{PATH}/configmaps", {"metadata": {"name": f"c{n}"}}) for n in range(20))
    )
    admitted = [status for status, _ in answers if status == 201]
    assert len(admitted) == 9 - before
    assert await used(client) == 9
    refusals = {answer["message"] for status, answer in answers if status == 403}
    assert all("exceeded quota: q, requested: configmaps=1, used: configmaps=9" in text for text in refusals)
