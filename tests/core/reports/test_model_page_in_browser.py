"""The page of a model in a real browser, opened from disk as a person would."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from core.reports.model_page import model_page
from tests.core.reports.test_backtest_page_in_browser import ARGS, CHROMIUM
from tests.core.reports.test_model_page import story

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all of them
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TESTS: there is no chromium on this machine"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM or ""), args=ARGS)
        yield browser
        await browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (390, "light"), (1280, "light"), (1280, "dark")])
async def test_it_fits_the_screen_asks_for_nothing_and_shows_every_picture(
    browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    file = tmp_path / "model.html"
    file.write_text(model_page(story(candidates=True)), encoding="utf-8")
    context = await browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if not r.url.startswith("data:") else None)

    await page.goto(file.as_uri())

    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = await page.evaluate("[...document.images].map(i => [i.naturalWidth, i.clientWidth])")
    assert [natural for natural, _ in sizes] == [1080] * 4
    assert all(0 < shown <= width for _, shown in sizes)
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(11, 15, 20)" if scheme == "dark" else "rgb(238, 242, 245)")
    await page.get_by_text("Hour (UTC)").first.click()
    await expect(page.get_by_role("row", name="00-06 UTC")).to_be_visible()
    await context.close()
    assert faults == []
    assert asked == [file.as_uri()]
