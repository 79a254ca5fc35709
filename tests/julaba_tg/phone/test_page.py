"""The chat page in a real browser, in front of a small bot that uses the real Telegram client."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, ContextTypes, MessageHandler, filters

from julaba_tg.phone.bot_api import Phone
from julaba_tg.phone.chats import OWNER, STRANGER, VIEWER
from tests.julaba_tg.phone.conftest import png

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TESTS: there is no chromium on this machine"),
]
ARGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
KEYS = InlineKeyboardMarkup(
    [
        [
            InlineKeyboardButton("Yes", callback_data="yes", style="success"),
            InlineKeyboardButton("No", callback_data="no"),
        ]
    ]
)
BotContext = ContextTypes.DEFAULT_TYPE
App = Application[Any, Any, Any, Any, Any, Any]


async def heard(update: Update, _: BotContext) -> None:
    """Echoes words, and what they reply to."""
    message = update.effective_message
    assert message
    about = f" about {message.reply_to_message.text}" if message.reply_to_message else ""
    await message.reply_text(f"heard {message.text}{about}")


async def tapped(update: Update, _: BotContext) -> None:
    assert update.callback_query
    await update.callback_query.answer("Noted")
    await update.callback_query.edit_message_text(f"chose {update.callback_query.data}")


@pytest.fixture
async def app(phone: Phone) -> AsyncIterator[App]:
    app = ApplicationBuilder().token(phone.token).base_url(f"{phone.base_url}/bot").build()
    app.add_handlers([MessageHandler(filters.TEXT, heard), CallbackQueryHandler(tapped)])
    async with app:
        await app.start()
        assert app.updater
        await app.bot.set_my_commands([("status", "how it stands"), ("pairs", "switches"), ("pause", "no new trades")])
        await app.updater.start_polling(timeout=1)
        yield app
        await app.updater.stop()
        await app.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, phone: Phone, app: object) -> AsyncIterator[Page]:
    """The page, phone-sized; a script error or a request to another address fails the test."""
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: faults.append(r.url) if not r.url.startswith(phone.base_url) else None)
    await page.goto(phone.base_url)
    await expect(page.locator("#state")).to_have_text("bot")
    yield page
    await page.close()
    assert faults == []


async def send(app: App, text: str, **more: Any) -> int:
    sent = await app.bot.send_message(OWNER, text, parse_mode="HTML", **more)
    return int(sent.message_id)


async def test_messages_appear_formatted_and_hostile_text_stays_text(page: Page, app: App) -> None:
    await send(
        app, "<b>bold</b> &lt;img src=x onerror=alert(1)&gt; <tg-spoiler>s</tg-spoiler>", disable_notification=True
    )

    message = page.locator(".message.bot")
    await expect(message.locator("strong")).to_have_text("bold")
    await expect(message).to_contain_text("<img src=x onerror=alert(1)>")
    assert await page.locator(".text img").count() == 0
    await expect(message.get_by_title("sent silently")).to_be_visible()
    await message.locator(".spoiler").click()
    await expect(message.locator(".spoiler.shown")).to_have_text("s")


async def test_a_tapped_button_is_answered_and_the_message_edited_in_place(page: Page, app: App) -> None:
    message_id = await send(app, "Approve?", reply_markup=KEYS)

    await page.get_by_role("button", name="Yes").click()

    await expect(page.locator("#toast")).to_have_text("Noted")
    await expect(page.locator(f"#m{message_id} .text")).to_have_text("chose yes")
    assert await page.locator(".key").count() == 0
    assert await page.locator(".message").count() == 1


async def test_a_button_turns_until_it_is_answered(page: Page, phone: Phone, app: App) -> None:
    await send(app, "Approve?", reply_markup=KEYS)
    phone.fault("hang", method="answerCallbackQuery", seconds=0.4)
    await page.get_by_role("button", name="No").click()
    await expect(page.locator(".key[aria-busy=true]")).to_have_text("No")
    await expect(page.locator(".key[aria-busy=true]")).to_have_count(0)


async def test_a_typed_command_reaches_the_bot_and_completion_helps(page: Page, app: App) -> None:
    box = page.get_by_label("Message", exact=True)
    await box.fill("/pa")
    await expect(page.get_by_role("option")).to_have_count(2)
    await box.press("ArrowDown")
    await box.press("ArrowDown")
    await box.press("Enter")
    await expect(page.locator(".message.bot .text")).to_have_text("heard /pause")
    await expect(box).to_have_value("")
    await expect(page.get_by_role("listbox")).to_be_hidden()


async def test_a_reply_from_the_menu_carries_its_message(page: Page, app: App) -> None:
    message_id = await send(app, "the card")
    await page.locator(f"#m{message_id} .text").click()
    await page.get_by_role("menuitem", name="Reply").click()
    await page.get_by_label("Message", exact=True).fill("yes")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.bot .text").last).to_have_text("heard yes about the card")


async def test_thumbs_can_be_given_and_taken_back_by_keyboard(page: Page, phone: Phone, app: App) -> None:
    message_id = await send(app, "the card")
    await page.locator(f"#m{message_id} .more").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator(".reaction")).to_have_text("👍")
    assert phone.messages()[0].reaction_of(OWNER) == "👍"
    await page.locator(".reaction").click()
    await expect(page.locator(".reaction")).to_have_count(0)


async def test_pictures_show_and_open(page: Page, app: App) -> None:
    await app.bot.send_photo(OWNER, png(300, 200), caption="chart of LINK")
    image = page.get_by_role("img", name="Picture: chart of LINK")
    await expect(image).to_have_js_property("naturalWidth", 300)
    await image.click()
    await expect(page.locator("#viewer")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#viewer")).to_be_hidden()


async def test_documents_are_only_ever_saved(page: Page, app: App) -> None:
    await app.bot.send_document(OWNER, b"<script>1</script>", filename="report.html")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="report.html").click()
    assert (await download.value).suggested_filename == "report.html"


async def test_the_pinned_message_the_header_and_long_quotes(page: Page, phone: Phone, app: App) -> None:
    long = "word " * 80
    message_id = await send(app, f"status\n<blockquote expandable>{long}</blockquote>")
    await app.bot.pin_chat_message(OWNER, message_id)
    phone.set_header("3 Jan 14:15 UTC · 4 candles/s", speed=4)

    await expect(page.locator("#pinned-text")).to_contain_text("status")
    await expect(page.locator("#clock")).to_contain_text("4 candles/s")
    folded = await page.locator(".folded").bounding_box()
    await page.get_by_role("button", name="Show more").click()
    opened = await page.locator(".folded").bounding_box()
    assert folded
    assert opened
    assert opened["height"] > 1.5 * folded["height"]


async def test_the_page_reconnects_and_catches_up(page: Page, phone: Phone, app: App) -> None:
    await send(app, "before")
    port = int(phone.base_url.rsplit(":", 1)[1])
    await expect(page.locator(".message")).to_have_count(1)
    await app.updater.stop()  # type: ignore[union-attr]
    await phone.stop()
    await expect(page.locator("#state")).to_have_text("The demo has ended")
    await page.wait_for_timeout(1000)  # tries in vain, and does not forget why
    await expect(page.locator("#state")).to_have_text("The demo has ended")
    assert await page.locator("#state").evaluate("state => state.scrollWidth <= state.clientWidth")
    await page.get_by_label("Message", exact=True).fill("kept")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("kept")

    await phone.start(port=port)
    phone.say(OWNER, "meanwhile")
    await expect(page.locator("#state")).to_have_text("bot", timeout=8000)
    await expect(page.locator(".message")).to_have_count(2)
    await app.updater.start_polling(timeout=1)  # type: ignore[union-attr]


async def test_each_user_has_an_own_chat(page: Page, phone: Phone, app: App) -> None:
    await send(app, "for the owner")
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("radio", name="Stranger").check()
    await page.keyboard.press("Escape")
    await expect(page.locator("#empty")).to_be_visible()
    await expect(page.locator("#state")).to_have_text("seen by Stranger")
    await page.get_by_label("Message", exact=True).fill("let me in")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.bot .text")).to_have_text("heard let me in")
    assert [m.chat_id for m in phone.messages(STRANGER)] == [STRANGER, STRANGER]
    assert phone.messages(VIEWER) == []


async def test_new_messages_do_not_pull_a_reader_down(page: Page, app: App) -> None:
    for number in range(30):
        await send(app, f"line {number}")
    await expect(page.locator(".message")).to_have_count(30)
    await page.locator("#chat").evaluate("chat => { chat.scrollTop = 0; }")
    await expect(page.locator("#to-end")).to_be_visible()
    await send(app, "the newest")
    await expect(page.locator("#unread")).to_have_text("1")
    assert await page.locator("#chat").evaluate("chat => chat.scrollTop") == 0
    await page.locator("#to-end").click()
    await expect(page.get_by_text("the newest")).to_be_in_viewport()
    await expect(page.locator("#to-end")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_overflows(browser: Browser, phone: Phone, app: App, width: int, scheme: str) -> None:
    await send(app, "<pre>" + "0123456789 " * 20 + "</pre>" + "x" * 200, reply_markup=KEYS)
    context = await browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(phone.base_url)
    await expect(page.locator(".message")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.locator("#chat").evaluate("chat => chat.scrollWidth <= chat.clientWidth")
    await context.close()


async def test_two_pages_see_the_same(page: Page, browser: Browser, phone: Phone, app: object) -> None:
    other = await browser.new_page()
    await other.goto(phone.base_url)
    await page.get_by_label("Message", exact=True).fill("hello")
    await page.keyboard.press("Enter")
    await expect(other.locator(".message")).to_have_count(2)
    await other.close()


async def test_the_days_pill_covers_text_only_while_somebody_scrolls(page: Page, app: App) -> None:
    for number in range(20):
        await send(app, f"line {number}\n" * 4)
    pill = page.locator(".day")
    await expect(page.locator(".message")).to_have_count(20)
    await expect(pill).to_have_css("opacity", "0")

    await page.locator("#chat").hover()
    await page.mouse.wheel(0, -300)

    await expect(pill).to_have_css("opacity", "1")
    await expect(pill).to_have_css("opacity", "0")
    await page.locator("#chat").evaluate("chat => (chat.scrollTop = 0)")
    await page.wait_for_timeout(1500)
    await expect(pill).to_have_css("opacity", "1")
