"""The page in a real browser, on a real control plane and a real database."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from tests.component.console import things
from tests.component.console.browser import Browser
from tests.component.console.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")
CURVE = "document.querySelector('[data-property=temperature] .plot path')?.getAttribute('d')"


async def put(lab: Lab, *objects: dict[str, Any]) -> None:
    await asyncio.to_thread(lab.put, *objects)


async def furnish(lab: Lab) -> None:
    """What most tests look at."""
    reported = {"temperature": "61.5", "pressure": "1.8", "mode": "eco"}
    await put(lab, *things.node("edge1"), things.model(), *things.device("boiler", **reported))
    await put(lab, things.pod("nginx", restarts=2))
    now = time.time()
    times = [now - 600 + step * 5 for step in range(120)]
    warm = [(at, 60 + 3 * math.sin(step / 9)) for step, at in enumerate(times)]
    pressed = [(at, 1.8 + 0.05 * math.cos(step / 5)) for step, at in enumerate(times)]
    await asyncio.to_thread(lab.samples, "temperature", *warm)
    await asyncio.to_thread(lab.samples, "pressure", *pressed)


async def test_rows_appear_change_and_go_while_the_page_is_open(lab: Lab, page: Browser) -> None:
    assert "no node" in (await page.text("#nodes")).lower() or await page.text("#nodes table")
    await furnish(lab)
    nodes = "#nodes [data-key=edge1]"
    await page.until(f"document.querySelector('{nodes}')?.innerText.includes('Ready')")
    shown = await page.text(nodes)
    for word in ("edge", "v1.32.10-kubeedge-v1.23.1", "containerd://1.6.20", "192.168.77.11", "ago"):
        assert word in shown, shown
    pod = '#pods [data-key="default/nginx"]'
    await page.until(f"document.querySelector('{pod}')?.innerText.includes('Running')")
    row = await page.text(pod)
    for word in ("Running", "1 of 1", "edge1", "2", "edgelab.local/nginx:1.22"):
        assert word in row, row
    await page.until("document.querySelector('[data-property=temperature] .value')?.innerText === '61.5'")
    await put(lab, *things.device("boiler", desired="70", temperature="62.25", mode="comfort"))
    await page.until("document.querySelector('[data-property=temperature] .value')?.innerText === '62.25'")
    assert await page.text("[data-property=temperature] .desired") == "desired 70 °C"
    await put(lab, *things.node("edge1", ready=False))
    await page.until(f"document.querySelector('{nodes}').innerText.includes('Kubelet stopped posting')")
    await page.value(f"document.querySelector('{pod} button').click()")
    await page.until("document.querySelector('#log').open")
    assert await page.text("#log-title") == "default/nginx"
    # There is no node behind this one: the API server's reason is shown, whichever it is.
    await page.until("document.querySelector('#log-told').innerText.length > 20")
    await page.value("document.querySelector('#log-close').click()")
    await page.until("!document.querySelector('#log').open")
    await put(lab, things.pod("broken", waiting="ImagePullBackOff"))
    await page.until("document.querySelector('#pods')?.innerText.includes('ImagePullBackOff')")
    await asyncio.to_thread(lab.kubectl, "delete", "pod", "broken", "--force", "--grace-period=0")
    await page.until("!document.querySelector('#pods').innerText.includes('broken')")
    assert page.errors == []


async def test_a_curve_moves_with_the_samples(lab: Lab, page: Browser) -> None:
    await furnish(lab)
    first = await page.until(CURVE)
    assert first.startswith("M")
    await asyncio.to_thread(lab.samples, "temperature", (time.time(), 75.0))
    await page.until(f"{CURVE} !== {json.dumps(first)}")
    await page.until("document.querySelector('[data-property=temperature] .high').innerText === '75'")
    assert await page.value("document.querySelector('[data-property=mode] .plot')") is None


async def test_the_curve_is_read_with_the_keyboard(lab: Lab, page: Browser) -> None:
    await furnish(lab)
    plot = "document.querySelector('[data-property=temperature] .plot svg')"
    await page.until(CURVE)
    for _ in range(12):
        await page.key("Tab")
        if await page.value(f"document.activeElement === {plot}"):
            break
    else:
        raise AssertionError("Tab does not reach the curve")
    summary = await page.value(f"{plot}.getAttribute('aria-valuetext')")
    assert summary.startswith("from ")
    await page.key("Home")
    spoken = await page.until(f"{plot}.getAttribute('aria-valuetext').includes(': ') && {plot}.ariaValueText")
    assert spoken.endswith("°C")
    await page.key("ArrowRight")
    await page.until(f"{plot}.ariaValueText !== {json.dumps(spoken)}")


async def test_it_is_dark_with_the_system_and_by_its_switch(lab: Lab, page: Browser, folder: Path) -> None:
    await furnish(lab)
    await page.until(CURVE)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = await page.value(ground)
    await page.picture(folder / "light.png")
    await page.scheme("dark")
    dark = await page.value(ground)
    assert dark != light
    await page.picture(folder / "dark.png")
    await page.value("document.querySelector('#theme').click()")
    assert (await page.text("#theme"), await page.value(ground)) == ("Theme: light", light)
    await page.send("Page.reload")
    await page.until("document.querySelector('#theme')?.innerText === 'Theme: light'")
    assert await page.value(ground) == light


async def test_it_fits_a_phone(lab: Lab, page: Browser, folder: Path) -> None:
    await furnish(lab)
    long = "an-image/with-a-name-that-is-longer-than-any-phone-is-wide/" + "x" * 80
    await put(
        lab, {**things.pod("long"), "status": {}, "spec": {"containers": [{"name": "a", "image": long}]}}
    )
    await page.size(360, 740, scale=2)
    await page.until(f"document.querySelector('#pods').innerText.includes('xxxx') && {CURVE}")
    await page.picture(folder / "phone.png")
    assert await page.value("document.documentElement.scrollWidth") <= 360
    wide = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > 361)"
    assert await page.value(f"{wide}.map((e) => e.outerHTML.slice(0, 80))") == []
    roles = "[...document.querySelectorAll('#pods [role]')].map((e) => e.getAttribute('role'))"
    assert {"table", "row", "columnheader", "rowheader", "cell"} <= set(await page.value(roles))
    await asyncio.to_thread(lab.kubectl, "delete", "pod", "long", "--force", "--grace-period=0")


async def test_what_is_gone_is_told_and_found_again(lab: Lab, page: Browser) -> None:
    await furnish(lab)
    await page.until(CURVE)
    told = "document.querySelector('#troubles').innerText"
    await asyncio.to_thread(lab.database.stop)
    await page.until(f"{told}.includes('time-series database')", 60)
    assert "time series" in await asyncio.to_thread(lab.until_health, 503)
    await asyncio.to_thread(lab.database.start)
    await page.until(f"{told} === ''", 60)

    await asyncio.to_thread(lab.server.kill)
    await page.until(f"{told}.includes('nodes')", 60)
    assert "edge1" in await page.text("#nodes"), "what was known last stays"
    await asyncio.to_thread(lab.server.start)
    await page.until(f"{told} === ''", 90)

    await asyncio.to_thread(lab.stop)
    await page.until("document.querySelector('#link').dataset.state === 'lost'", 60)
    await asyncio.to_thread(lab.start)
    await page.until("document.querySelector('#link').dataset.state === 'live'", 60)
    assert "edge1" in await page.text("#nodes")
