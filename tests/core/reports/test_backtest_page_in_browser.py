"""The page of a backtest in a real browser, opened from disk as a person would."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from core.domain.candles import Pair
from core.reports.backtest_page import backtest_page
from core.reports.backtest_report import BacktestReport
from tests.core.reports.made import nothing, report, signals_only

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all of them
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TESTS: there is no chromium on this machine"),
]
ARGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
Scheme = Literal["light", "dark"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


class Opener:
    """Opens reports; whatever a page logs, throws or asks for is a fault."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser, self.file = browser, folder / "report.html"
        self.faults: list[str] = []
        self.contexts: list[BrowserContext] = []

    async def __call__(
        self, shown: BacktestReport, width: int = 1280, scheme: Scheme = "dark", touch: bool = False, **bounds: int
    ) -> Page:
        self.file.write_text(backtest_page(shown, **bounds), encoding="utf-8")
        context = await self.browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme=scheme, has_touch=touch
        )
        self.contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("request", lambda r: self.faults.append(r.url) if r.url != self.file.as_uri() else None)
        await page.goto(self.file.as_uri())
        await expect(page.locator("html")).to_have_attribute("data-ready", "yes")
        return page


@pytest_asyncio.fixture(loop_scope="module")
async def opened(browser: Browser, tmp_path: Path) -> AsyncIterator[Opener]:
    opener = Opener(browser, tmp_path)
    yield opener
    for context in opener.contexts:
        await context.close()
    assert opener.faults == []


async def span(canvas: Locator) -> tuple[float, float]:
    """The rows that a chart shows, once it has drawn them."""
    await canvas.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    first, last = (await canvas.get_attribute("data-shown") or "").split()
    return float(first), float(last)


async def wide(canvas: Locator) -> float:
    first, last = await span(canvas)
    return last - first


async def test_the_equity_under_the_cursor_is_read_out(opened: Opener) -> None:
    page = await opened(report())
    canvas, readout = page.locator("#equity-canvas"), page.locator("#equity-readout")
    at_the_end = await readout.inner_text()
    assert "account" in at_the_end
    assert "basket" in at_the_end

    await canvas.hover(position={"x": 5, "y": 60})

    await expect(readout).to_contain_text("11 Jan 2024")
    await expect(readout).to_contain_text("10,000.00")
    await page.mouse.move(5, 5)
    await expect(readout).to_have_text(at_the_end)


async def test_dragging_over_the_equity_zooms_and_reset_shows_all(opened: Opener) -> None:
    page = await opened(report())
    canvas = page.locator("#equity-canvas")
    await canvas.scroll_into_view_if_needed()
    everything = await wide(canvas)
    box = await canvas.bounding_box()
    assert box

    await page.mouse.move(box["x"] + 200, box["y"] + 80)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 320, box["y"] + 90, steps=4)
    await page.mouse.up()

    assert await wide(canvas) == pytest.approx(everything * 120 / (box["width"] - 82), rel=0.02)
    await page.locator("#equity").get_by_role("button", name="Reset").click()
    assert await wide(canvas) == everything


async def test_two_fingers_zoom(opened: Opener) -> None:
    page = await opened(report(), 390, touch=True)
    canvas = page.locator("#equity-canvas")
    await canvas.scroll_into_view_if_needed()
    everything = await wide(canvas)
    box = await canvas.bounding_box()
    assert box
    client = await page.context.new_cdp_session(page)

    async def touch(kind: str, *places: float) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + 50, "id": n} for n, x in enumerate(places)]
        await client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    await touch("touchStart", 100, 150)
    for reach in range(10, 60, 10):
        await touch("touchMove", 100 - reach, 150 + reach)
    await touch("touchEnd")

    assert await wide(canvas) == pytest.approx(everything / 3, rel=0.05)


async def test_keys_move_the_cursor_zoom_and_reset(opened: Opener) -> None:
    page = await opened(report())
    canvas, readout = page.locator("#equity-canvas"), page.locator("#equity-readout")
    everything = await wide(canvas)
    await canvas.focus()

    await page.keyboard.press("Home")
    await expect(readout).to_contain_text("11 Jan 2024 00:15")
    await page.keyboard.press("ArrowRight")
    await expect(readout).to_contain_text("11 Jan 2024 00:30")
    await page.keyboard.press("+")
    assert await wide(canvas) < everything
    await page.keyboard.press("Escape")
    assert await wide(canvas) == everything


async def test_a_trade_in_the_table_is_shown_on_its_candles(opened: Opener) -> None:
    page = await opened(report())
    trade = report().trades[0]
    rows = page.locator("#trade-table tbody tr")
    await expect(rows).to_have_count(len(report().trades))

    await rows.first.get_by_role("button").click()

    await expect(page.locator("#candles-canvas")).to_be_in_viewport()
    await expect(page.locator("#trade strong")).to_have_text(f"#1 {trade.candidate.pair}")
    await expect(page.locator("#pairs [aria-pressed=true]")).to_have_text(str(trade.candidate.pair))
    await expect(rows.first).to_have_attribute("aria-current", "true")
    candles = report().candles[trade.candidate.pair].between(report().start_ms - 60 * 900_000, None)
    entry = candles.time.searchsorted(trade.follow.entry_time)
    first, last = await span(page.locator("#candles-canvas"))
    assert first < entry < entry + trade.follow.bars < last


async def test_buttons_and_keys_go_from_trade_to_trade(opened: Opener) -> None:
    page = await opened(report())
    count, name = len(report().trades), page.locator("#trade strong")
    await expect(name).to_contain_text(f"#{count} ")
    await expect(page.get_by_role("button", name="Next trade")).to_be_disabled()

    await page.get_by_role("button", name="Previous trade").click()
    await expect(name).to_contain_text(f"#{count - 1} ")
    await page.keyboard.press("p")
    await expect(name).to_contain_text(f"#{count - 2} ")
    await page.keyboard.press("n")
    await expect(name).to_contain_text(f"#{count - 1} ")
    await expect(page.locator("#trade-table [aria-current=true]")).to_have_count(1)


async def test_a_column_sorts_both_ways(opened: Opener) -> None:
    page = await opened(report())
    head = page.locator("#trade-table th", has_text="R net")
    results = sorted((trade.r_net for trade in report().trades), reverse=True)
    cells = page.locator("#trade-table tbody tr td:nth-child(5)")

    await head.get_by_role("button").click()
    await expect(head).to_have_attribute("aria-sort", "descending")
    shown = [float(text.replace("−", "-")) for text in await cells.all_inner_texts()]
    assert shown == pytest.approx(results, abs=0.0051)

    await head.get_by_role("button").click()
    await expect(head).to_have_attribute("aria-sort", "ascending")
    shown = [float(text.replace("−", "-")) for text in await cells.all_inner_texts()]
    assert shown == pytest.approx(results[::-1], abs=0.0051)
    await page.locator("#trade-table th", has_text="Pair").get_by_role("button").click()
    await expect(page.locator("#trade-table th[aria-sort=ascending]")).to_have_text("Pair")


async def test_without_an_account_the_curve_is_in_r(opened: Opener) -> None:
    page = await opened(signals_only())

    total = sum(trade.r_net for trade in signals_only().trades)
    await expect(page.locator("#equity-readout")).to_contain_text(f"{total:+.1f} R".replace("-", "−"))
    await expect(page.get_by_role("button", name="basket held")).to_be_hidden()


async def test_the_basket_can_be_taken_away(opened: Opener) -> None:
    page = await opened(report())
    before = await page.locator("#equity-canvas").screenshot()

    await page.get_by_role("button", name="basket held").click()

    await expect(page.get_by_role("button", name="basket held")).to_have_attribute("aria-pressed", "false")
    await span(page.locator("#equity-canvas"))
    assert await page.locator("#equity-canvas").screenshot() != before


async def test_another_pair_shows_its_own_candles(opened: Opener) -> None:
    page = await opened(report())
    canvas = page.locator("#candles-canvas")
    for pair in report().candles:
        await page.locator("#pairs").get_by_role("button", name=str(pair)).click()
        await expect(page.locator("#pairs [aria-pressed=true]")).to_have_text(str(pair))
        assert str(pair) in (await canvas.get_attribute("aria-label") or "")
        await expect(page.locator("#candles-readout")).to_contain_text("SMA 40")


async def test_candles_move_under_the_hand_and_show_what_is_pointed_at(opened: Opener) -> None:
    page = await opened(report())
    canvas = page.locator("#candles-canvas")
    await canvas.scroll_into_view_if_needed()
    await page.get_by_role("button", name="Previous trade").click()
    before = await span(canvas)
    box = await canvas.bounding_box()
    assert box
    await page.mouse.move(box["x"] + 300, box["y"] + 100)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 500, box["y"] + 100, steps=4)
    await page.mouse.up()
    after = await span(canvas)

    assert after[0] < before[0]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=0.1)
    said = await page.locator("#candles-readout").inner_text()
    await page.mouse.move(box["x"] + 100, box["y"] + 100)
    await expect(page.locator("#candles-readout")).not_to_have_text(said)


async def ink(page: Page, canvas: str) -> int:
    """How many pixels of a chart are painted."""
    counted: int = await page.locator(canvas).evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
            return count;
        }"""
    )
    return counted


async def test_what_was_packed_is_unpacked_and_drawn(opened: Opener) -> None:
    page = await opened(report())
    await page.get_by_role("button", name="Previous trade").click()
    trade = report().trades[-2]
    candles = report().candles[trade.candidate.pair].between(report().start_ms - 60 * 900_000, None)
    await page.locator("#candles-canvas").focus()
    await page.keyboard.press("End")

    await expect(page.locator("#candles-readout")).to_contain_text(f"C {candles.close[-1]:,.2f}"[:7])
    assert await ink(page, "#candles-canvas") > 5_000
    assert await ink(page, "#equity-canvas") > 5_000


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1280, "light")])
async def test_nothing_overflows_and_words_stand_out(opened: Opener, width: int, scheme: Scheme) -> None:
    page = await opened(report(), width, scheme)

    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    faint = await page.evaluate(CONTRAST)
    assert faint == []
    unnamed = await page.evaluate(
        "[...document.querySelectorAll('button, canvas, table')]"
        ".filter(e => !e.textContent.trim() && !e.getAttribute('aria-label')).map(e => e.outerHTML)"
    )
    assert unnamed == []


# Texts whose colour is too close to what lies behind them (WCAG 2.1, 1.4.3: 4.5 to 1).
CONTRAST = """() => {
    const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const over = (colors) => {
        paint.clearRect(0, 0, 1, 1);
        for (const color of colors) { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); }
        return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).map((c) => c / 255);
    };
    const light = (rgb) => rgb.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const faint = [];
    for (const element of document.querySelectorAll("main *, header *")) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || !element.checkVisibility() || element.closest(":disabled, noscript")) continue;
        const behind = [];
        for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
        const back = light(over(behind));
        const text = light(over([...behind, getComputedStyle(element).color]));
        const ratio = (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05);
        if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 120)}`);
    }
    return faint;
}"""


async def test_dark_and_light_can_be_switched(opened: Opener) -> None:
    page = await opened(report(), scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(ground)

    await page.get_by_role("button", name="Switch between dark and light").click()
    assert await page.evaluate(ground) != before
    await page.get_by_role("button", name="Switch between dark and light").click()
    assert await page.evaluate(ground) == before


@pytest.mark.parametrize("shown", [nothing, signals_only])
async def test_pages_with_less_to_show_work_too(opened: Opener, shown: object) -> None:
    made = shown()  # type: ignore[operator]
    page = await opened(made, 390)

    await expect(page.locator("#notes")).not_to_be_empty()
    await expect(page.locator("#candles-canvas")).to_be_visible()
    assert await page.locator("#trades").is_visible() == bool(made.trades)
    assert await page.locator("#equity").is_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_page_without_candles_opens(opened: Opener) -> None:
    page = await opened(replace(report(), candles={}))

    await expect(page.locator("#trade-table tbody tr")).to_have_count(len(report().trades))
    await expect(page.locator("#candles")).to_be_hidden()


async def test_hostile_names_are_only_text(opened: Opener) -> None:
    evil = Pair("</script><img src=x onerror=alert(1)>", "<b>&\u2028")
    first = report().trades[0]
    candles = replace(report().candles[first.candidate.pair], pair=evil)
    trade = replace(first, candidate=replace(first.candidate, pair=evil))

    page = await opened(replace(report(), candles={evil: candles}, trades=(trade,), refused=(), notes=(str(evil),)))

    await expect(page.locator("#trade strong")).to_contain_text("</script><img src=x onerror=alert(1)>/<b>&")
    assert await page.locator("img, main b:has-text('USDT')").count() == 0


async def test_a_browser_that_cannot_unpack_says_so_and_keeps_the_figures(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "old.html"
    file.write_text(backtest_page(report()), encoding="utf-8")
    page = await browser.new_page()
    await page.add_init_script("delete window.DecompressionStream")
    await page.goto(file.as_uri())

    await expect(page.locator("#notes")).to_contain_text("cannot unpack the charts")
    await expect(page.locator(".tiles")).to_contain_text("Win rate")
    await page.close()


async def test_the_wheel_zooms_only_a_chart_that_was_clicked_on(opened: Opener) -> None:
    page = await opened(report())
    canvas = page.locator("#equity-canvas")
    everything = await wide(canvas)
    await canvas.hover()
    await page.mouse.wheel(0, -200)
    assert await wide(canvas) == everything

    await canvas.click()
    await page.mouse.wheel(0, -200)

    await expect(canvas).not_to_have_attribute("data-shown", f"0.00 {everything:.2f}")
    assert await wide(canvas) < everything


async def test_a_trade_whose_candles_were_left_out_says_so(opened: Opener) -> None:
    page = await opened(report(), most_candles=900)

    await page.locator("#trade-table tbody tr").first.get_by_role("button").click()

    await expect(page.locator("#trade")).to_contain_text("its candles are not on this page")
