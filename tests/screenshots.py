"""``make screenshots``: the README's pictures, taken in Chromium of the real demo and of a backtest's page.

Needs an emoji font. ``python -m tests.screenshots report`` takes the page's alone; its candles are made up.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import Locator, Page, ViewportSize, async_playwright

from core.config import Settings
from core.reports.backtest_page import backtest_page
from core.services.backtest import run_backtest
from core.services.backtest_report import backtest_report
from core.services.portfolio import run_portfolio
from tests.core.reports.made import market

IMAGES = Path(__file__).parent.parent / "docs" / "images"
TARGET = IMAGES / "phone.png"
REPORT, REPORT_SIZE = IMAGES / "report.png", ViewportSize(width=1180, height=1500)
SIZE: ViewportSize = {"width": 390, "height": 844}
SCALE = 1.5
GAP = 36  # pixels between and around the two screens
BACK = (226, 232, 236)
PATIENCE = 180_000  # milliseconds until a trade has been opened and a model trained


async def take(url: str) -> list[bytes]:
    """The two screens: the alert of an opened trade, and what /status and /ml answer."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        pages = [await browser.new_page(viewport=SIZE, device_scale_factor=SCALE) for _ in range(2)]
        for page in pages:
            await page.goto(url)
        screens = [await _alert(pages[0]), await _answers(pages[1])]
        await browser.close()
    return screens


async def _alert(page: Page) -> bytes:
    alert = page.locator(".message.bot", has=page.locator(".photo img")).filter(has_text="risk $").first
    await alert.wait_for(timeout=PATIENCE)
    await page.wait_for_timeout(1000)
    return await _shot(page, [await _id(alert)])


async def _answers(page: Page) -> bytes:
    """Asked once a model has been trained."""
    shown = []
    await page.locator(".message.bot").filter(has_text="xgb-v").first.wait_for(timeout=PATIENCE)
    for command, words in (("/status", "Signals today"), ("/ml", "ML gate")):
        await page.get_by_label("Message", exact=True).fill(command)
        await page.keyboard.press("Escape")
        await page.keyboard.press("Enter")
        asked = page.locator(".message.me").filter(has_text=command).last
        answer = page.locator(f"#{await _id(asked)} ~ .message.bot").filter(has_text=words).first
        await answer.wait_for()
        shown += [await _id(asked), await _id(answer)]
    await page.get_by_label("Message", exact=True).blur()
    return await _shot(page, shown)


async def _id(message: Locator) -> str:
    return await message.get_attribute("id") or ""


async def _shot(page: Page, ids: list[str]) -> bytes:
    """These messages from the first one's top on; what came between them, and the day, is left out."""
    await page.evaluate(
        """ids => {
            for (const item of [...document.querySelectorAll("#messages > li")]) {
                if (!ids.includes(item.id)) item.remove();
            }
            document.getElementById("messages").style.paddingBlock = "8px 100vh";
            document.getElementById(ids[0]).scrollIntoView();
            document.getElementById("chat").scrollTop -= 8;
            document.getElementById("to-end").style.display = "none";
        }""",
        ids,
    )
    await page.wait_for_timeout(400)  # new messages rise slowly
    return await page.screenshot()


def together(screens: list[bytes]) -> Image.Image:
    """Side by side, in 256 colours."""
    images = [Image.open(io.BytesIO(screen)).convert("RGB") for screen in screens]
    width, height = images[0].size
    whole = Image.new("RGB", (len(images) * (width + GAP) + GAP, height + 2 * GAP), BACK)
    for n, image in enumerate(images):
        whole.paste(image, (GAP + n * (width + GAP), GAP))
    return whole.quantize(256, dither=Image.Dither.NONE)


async def report() -> None:
    """The page of a backtest of five walks of 90 days."""
    pairs = ("LINK/USDT", "ETH/USDT", "SOL/USDT", "AVAX/USDT", "POL/USDT")
    candles, settings = market(8640, pairs), Settings()
    backtest = run_backtest(candles, settings)
    page_text = backtest_page(backtest_report(backtest, run_portfolio(candles, settings, backtest=backtest)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(page_text, encoding="utf-8")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            page = await browser.new_page(viewport=REPORT_SIZE, color_scheme="dark")
            await page.goto(file.as_uri())
            await page.locator("html[data-ready]").wait_for()
            row = page.locator("#trade-table tr", has_text="TP3 FULL").last
            await row.get_by_role("button").evaluate("button => button.click()")
            await page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
            await page.wait_for_timeout(300)
            shot = await page.screenshot()
            await browser.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(REPORT, optimize=True)
    print(f"{REPORT} {REPORT.stat().st_size / 1024:.0f} KB")


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def main() -> None:
    await report()
    if sys.argv[1:] == ["report"]:
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ("-c", "from julaba_tg.cli import main; main()", "demo", "--simulated", "--port", "0")
        demo = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--data-dir", folder, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert demo.stdout is not None
            line = (await demo.stdout.readline()).decode()
            url = re.search(r"http://\S+", line)
            assert url is not None, line
            screens = await take(url.group())
        finally:
            demo.send_signal(signal.SIGINT)
            await demo.wait()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    together(screens).save(TARGET, optimize=True)
    print(f"{TARGET} {TARGET.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    asyncio.run(main())
