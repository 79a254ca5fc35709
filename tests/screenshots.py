"""``make screenshots``: the README's pictures, taken in Chromium of the real demo and of a backtest's page.

Needs an emoji font (Debian: fonts-noto-color-emoji). ``python -m tests.screenshots report`` takes the page's alone; its
candles are made up.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import signal
import subprocess
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
REPORT, REPORT_SIZE = IMAGES / "report.png", ViewportSize(width=1180, height=1500)
SIZE: ViewportSize = {"width": 430, "height": 932}
SCALE = 1.4
PATIENCE = 300_000  # milliseconds until a trade has been opened, a model trained and a question asked
MOST = 200 * 1024  # bytes of a picture


async def take(url: str) -> dict[str, bytes]:
    """The screens by name: an alert with its chart, /why it, an approval's card, /report and a training's end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        context = await browser.new_context(viewport=SIZE, device_scale_factor=SCALE)
        page = await context.new_page()
        await page.goto(url)
        alert = await _there(_bot(page, "risk $").first)
        await page.wait_for_timeout(1000)
        await alert.get_by_role("button", name="Why?").click()
        screens = {
            "alert": [await _id(alert)],
            "why": [
                await _id(await _there(found))
                for found in (_bot(page, "🔍", ".text").first, _bot(page, "what moved").first)
            ],
            "retrain": await _asked(page, "/retrain", "shows the gate"),
            "success": await _asked(page, "/report", "📋"),
            "approval": [await _id(await _there(_bot(page, "🗳", has=".key:has-text('Approve')").first))],
        }
        shots = {name: await _shot(await context.new_page(), url, ids) for name, ids in screens.items()}
        await browser.close()
    return shots


def _bot(page: Page, words: str, has: str = ".photo img") -> Locator:
    """Messages of the bot with a picture (or whatever else they should have) and these words."""
    said = page.locator(".message.bot", has=page.locator(".text").filter(has_text=words))
    return said.filter(has=page.locator(has))


async def _there(message: Locator) -> Locator:
    await message.wait_for(timeout=PATIENCE)
    return message


async def _asked(page: Page, command: str, words: str) -> list[str]:
    """A command and the first pictured answer behind it with these words."""
    await page.get_by_label("Message", exact=True).fill(command)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Enter")
    number = await _id(await _there(page.locator(".message.me").filter(has_text=command).last))
    answers = page.locator(f"#{number} ~ .message.bot", has=page.locator(".text").filter(has_text=words))
    return [number, await _id(await _there(answers.filter(has=page.locator(".photo img")).first))]


async def _id(message: Locator) -> str:
    return await message.get_attribute("id") or ""


async def _shot(page: Page, url: str, ids: list[str]) -> bytes:
    """These messages from the first one's top on; what came between them, and the day, is left out."""
    await page.goto(url)
    await page.locator(f"#{ids[-1]}").wait_for()
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


def saved(name: str, shot: bytes) -> None:
    """In as many colours as the size allows."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    target = IMAGES / f"{name}.png"
    for colours in (256, 128, 64):
        image.quantize(colours, dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size < MOST:
            break
    print(f"{target} {target.stat().st_size / 1024:.0f} KB")


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


def has_emoji() -> bool:
    """Whether the bot's marks would be more than boxes."""
    fonts = subprocess.run(["fc-list", ":charset=1f7e2", "family"], capture_output=True, text=True, check=False)
    return bool(fonts.stdout.strip())


async def main() -> None:
    if not has_emoji():
        sys.exit("error: no font here has emoji; on Debian: apt-get install fonts-noto-color-emoji")
    if sys.argv[1:] != ["phone"]:
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
    for name, shot in screens.items():
        saved(name, shot)


if __name__ == "__main__":
    asyncio.run(main())
