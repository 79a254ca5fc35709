"""The Bot API's methods over ``Chats``: what they do, and what they refuse in the server's words.

Each is a function of the chats and the call's parameters; ``METHODS`` names them in lower case, as the server does
not mind the case. getUpdates waits and so lives in ``bot_api``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from telegram.constants import ReactionEmoji

from julaba_tg.phone import about_methods
from julaba_tg.phone.chats import Button, Change, Chats, Keyboard, Message
from julaba_tg.phone.files import attachment
from julaba_tg.phone.markup import (
    ENTITY_TYPES,
    Entity,
    MarkupError,
    RichText,
    finished,
    is_link,
    parse_html,
    plain,
    utf16_length,
)
from julaba_tg.phone.params import Params, bad
from julaba_tg.phone.targets import chat_of, check_right, check_sending, message_of, own_message, thread_of

Method = Callable[[Chats, Params], Any]

MAX_TEXT, MAX_CAPTION, MAX_ANSWER, MAX_COPY, MAX_BUTTONS = 4096, 1024, 200, 256, 100
QUERY_LIFE = 900.0  # seconds in which a tap may be answered
_DELETE_WITHIN = 48 * 3600
_EMOJI = frozenset(str(emoji) for emoji in ReactionEmoji)
_STYLES = {"", "danger", "success", "primary"}
_ACTIONS = {"typing", "upload_photo", "upload_document", "record_video", "upload_video", "record_voice", "upload_voice"}
_ACTIONS |= {"choose_sticker", "find_location", "record_video_note", "upload_video_note"}
_NO_PINNING = "not enough rights to manage pinned messages in the chat"
_SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


# What a call carries: text and keyboard.


def rich_text(params: Params, name: str, limit: int) -> RichText:
    """Text or caption with entities from the parse mode or the list given; refused where the server would."""
    source = params.text(name)
    mode = params.text("parse_mode").lower()
    given = params.structure("caption_entities" if name == "caption" else "entities")
    if mode not in {"", "html"}:
        raise bad("unsupported parse_mode: the local phone reads HTML only")
    try:
        rich = parse_html(source) if mode else _with_entities(source, given)
    except MarkupError as error:
        raise bad(f"can't parse entities: {error}") from None
    if rich.units > limit:
        raise bad("message caption is too long" if name == "caption" else "message is too long")
    return rich


def _with_entities(source: str, given: Any) -> RichText:
    if not given:
        return plain(source)
    if not isinstance(given, list) or len(given) > 100:
        raise bad("can't parse entities: a list of at most 100 is expected")
    length = utf16_length(source)
    found = []
    for item in given:
        match item:
            case {"type": str(kind), "offset": int(offset), "length": int(size), **more} if kind in ENTITY_TYPES:
                if offset >= 0 and size > 0 and offset + size <= length:
                    found.append(Entity(kind, offset, size, tuple((str(key), value) for key, value in more.items())))
            case _:
                raise bad("can't parse entities: unsupported entity")
    return finished(RichText(source, tuple(sorted(found, key=lambda e: (e.offset, -e.length)))))


def keyboard_of(params: Params) -> tuple[Keyboard, bool]:
    """The inline keyboard, and whether a reply is forced. Other keyboards are refused: the page has none."""
    markup = params.mapping("reply_markup")
    if "keyboard" in markup:
        raise bad("the local phone shows inline keyboards only")
    rows = markup.get("inline_keyboard", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('can\'t parse inline keyboard: Field "inline_keyboard" must be of type Array of Array')
    keyboard = tuple(tuple(_button(item) for item in row) for row in rows if row)
    if sum(len(row) for row in keyboard) > MAX_BUTTONS:
        raise bad("REPLY_MARKUP_TOO_LONG")
    return keyboard, bool(markup.get("force_reply"))


def _button(item: Any) -> Button:
    if not isinstance(item, dict) or not isinstance(item.get("text"), str) or not item["text"].strip():
        raise bad('can\'t parse inline keyboard button: Field "text" must be a non-empty String')
    style = item.get("style") or ""
    if style not in _STYLES:
        raise bad("invalid button style specified")
    if "callback_data" in item:
        data = str(item["callback_data"])
        if not 1 <= len(data.encode()) <= 64:
            raise bad("BUTTON_DATA_INVALID")
        return Button(item["text"], callback_data=data, style=style)
    if "url" in item:
        if not is_link(str(item["url"])):
            raise bad(f"inline keyboard button URL '{item['url']}' is invalid: Wrong HTTP URL")
        return Button(item["text"], url=str(item["url"]), style=style)
    if "copy_text" in item:
        copied = item["copy_text"].get("text") if isinstance(item["copy_text"], dict) else None
        if not isinstance(copied, str) or not 1 <= utf16_length(copied) <= MAX_COPY:
            raise bad("BUTTON_COPY_TEXT_INVALID")
        return Button(item["text"], copy_text=copied, style=style)
    raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")


def _reply(chats: Chats, chat_id: int, params: Params) -> tuple[int | None, str]:
    """The message replied to and the words quoted from it."""
    wanted = params.mapping("reply_parameters")
    message_id = wanted.get("message_id", params.values.get("reply_to_message_id"))
    if message_id is None:
        return None, ""
    answered = chats.message(chat_id, int(message_id)) if str(message_id).isdigit() else None
    if answered is None:
        if wanted.get("allow_sending_without_reply") or params.flag("allow_sending_without_reply"):
            return None, ""
        raise bad("message to be replied not found")
    quote = str(wanted.get("quote") or "")
    if quote and quote not in answered.text:
        raise bad("QUOTE_TEXT_INVALID")
    return answered.message_id, quote


# Sending.


def _send(chats: Chats, params: Params, content: RichText, **details: Any) -> Any:
    chat_id = chat_of(chats, params)
    keyboard, force_reply = keyboard_of(params)
    reply_to, quote = _reply(chats, chat_id, params)
    thread_id = thread_of(chats, params, chat_id, reply_to)
    message = chats.add(
        chat_id,
        chats.bot,
        content,
        keyboard=keyboard,
        force_reply=force_reply,
        reply_to=reply_to,
        quote=quote,
        silent=params.flag("disable_notification"),
        thread_id=thread_id,
        effect=params.text("message_effect_id"),
        **details,
    )
    return chats.api_message(message)


def send_message(chats: Chats, params: Params) -> Any:
    check_sending(chats, chat_of(chats, params), "can_send_messages")
    content = rich_text(params, "text", MAX_TEXT)
    if not content.text:
        raise bad("message text is empty")
    return _send(chats, params, content)


def send_photo(chats: Chats, params: Params) -> Any:
    return _send_media(chats, params, "photo")


def send_document(chats: Chats, params: Params) -> Any:
    return _send_media(chats, params, "document")


def _send_media(chats: Chats, params: Params, kind: str) -> Any:
    chat_id = chat_of(chats, params)
    check_sending(chats, chat_id, f"can_send_{kind}s")
    content = rich_text(params, "caption", MAX_CAPTION)
    keyboard_of(params)  # refused before a file is kept
    thread_of(chats, params, chat_id, None)
    return _send(chats, params, content, media=attachment(chats, params, kind, params.text(kind) or f"attach://{kind}"))


def send_chat_action(chats: Chats, params: Params) -> Any:
    chat_id = chat_of(chats, params)
    action = params.text("action")
    if action not in _ACTIONS:
        raise bad("wrong parameter action in request")
    chats.notify(Change("action", chat_id, detail={"action": action}))
    return True


# Changing what was sent.


def _edit(chats: Chats, message: Message, keyboard: Keyboard, **changes: Any) -> Any:
    after = (changes.get("content", message.content), changes.get("media", message.media), keyboard)
    if after == (message.content, message.media, message.keyboard):
        raise bad(_SAME)
    if keyboard != message.keyboard and not changes:
        return chats.api_message(chats.change(message, keyboard=keyboard))  # buttons alone are no edit to people
    return chats.api_message(chats.edit(message, keyboard=keyboard, **changes))


def edit_message_text(chats: Chats, params: Params) -> Any:
    message = own_message(chats, params)
    if message.media is not None:
        raise bad("there is no text in the message to edit")
    content = rich_text(params, "text", MAX_TEXT)
    if not content.text:
        raise bad("message text is empty")
    return _edit(chats, message, keyboard_of(params)[0], content=content)


def edit_message_caption(chats: Chats, params: Params) -> Any:
    message = own_message(chats, params)
    if message.media is None:
        raise bad("there is no caption in the message to edit")
    return _edit(chats, message, keyboard_of(params)[0], content=rich_text(params, "caption", MAX_CAPTION))


def edit_message_media(chats: Chats, params: Params) -> Any:
    message = own_message(chats, params)
    wanted = params.mapping("media")
    kind = wanted.get("type")
    if kind not in {"photo", "document"}:
        raise bad("can't parse InputMedia: the local phone knows photo and document")
    content = rich_text(Params(wanted, {}), "caption", MAX_CAPTION)
    keyboard = keyboard_of(params)[0]
    media = attachment(chats, params, kind, str(wanted.get("media") or ""))
    return _edit(chats, message, keyboard, content=content, media=media)


def edit_message_reply_markup(chats: Chats, params: Params) -> Any:
    message = own_message(chats, params)
    return _edit(chats, message, keyboard_of(params)[0])


def delete_message(chats: Chats, params: Params) -> Any:
    message = message_of(chats, params, "delete")
    if not message.from_bot:
        check_right(chats, message.chat_id, "can_delete_messages", "message can't be deleted")
    if chats.seconds() - message.date > _DELETE_WITHIN:
        raise bad("message can't be deleted for everyone")
    chats.delete(message)
    return True


def set_message_reaction(chats: Chats, params: Params) -> Any:
    message = message_of(chats, params, "react")
    wanted = params.structure("reaction") or []
    if not isinstance(wanted, list) or len(wanted) > 1:
        raise bad("REACTIONS_TOO_MANY")
    emoji = [item.get("emoji") for item in wanted if isinstance(item, dict)]
    if len(emoji) != len(wanted) or any(e not in _EMOJI for e in emoji):
        raise bad("REACTION_INVALID")
    others = tuple(r for r in message.reactions if r[0] != chats.bot.user_id)
    chats.change(message, reactions=(*others, *((chats.bot.user_id, str(e)) for e in emoji)))
    return True


def pin_chat_message(chats: Chats, params: Params) -> Any:
    """The pin is told in the chat by a service message, which reaches the bot like anybody's."""
    check_right(chats, chat_of(chats, params), "can_pin_messages", _NO_PINNING)
    message = message_of(chats, params, "pin")
    if not message.pinned:
        chats.change(message, pinned=True)
        told = chats.add(
            message.chat_id,
            chats.bot,
            RichText(),
            service=(("pinned_message", chats.api_message(message)),),
            silent=params.flag("disable_notification"),
            thread_id=message.thread_id,
        )
        chats.updates.push("message", chats.api_message(told))
    return True


def unpin_chat_message(chats: Chats, params: Params) -> Any:
    chat_id = chat_of(chats, params)
    check_right(chats, chat_id, "can_pin_messages", _NO_PINNING)
    pinned = chats.pinned(chat_id)
    wanted = params.integer("message_id", pinned[-1].message_id if pinned else 0)
    message = next((m for m in pinned if m.message_id == wanted), None)
    if message is None:
        raise bad("message to unpin not found")
    chats.change(message, pinned=False)
    return True


def unpin_all_chat_messages(chats: Chats, params: Params) -> Any:
    chat_id = chat_of(chats, params)
    check_right(chats, chat_id, "can_pin_messages", _NO_PINNING)
    for message in chats.pinned(chat_id):
        chats.change(message, pinned=False)
    return True


def answer_callback_query(chats: Chats, params: Params) -> Any:
    query = chats.queries.get(params.text("callback_query_id"))
    if query is None or query.answer is not None or time.monotonic() - query.born > QUERY_LIFE:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    text = params.text("text")
    if utf16_length(text) > MAX_ANSWER:
        raise bad("MESSAGE_TOO_LONG")
    query.answer = {"text": text, "show_alert": params.flag("show_alert")}
    detail = {"query_id": query.query_id, "message_id": query.message_id, **query.answer}
    chats.notify(Change("answer", query.chat_id, detail=detail))
    return True


METHODS: dict[str, Method] = {
    function.__name__.replace("_", ""): function
    for function in (
        *about_methods.METHODS,
        answer_callback_query,
        delete_message,
        edit_message_caption,
        edit_message_media,
        edit_message_reply_markup,
        edit_message_text,
        pin_chat_message,
        send_chat_action,
        send_document,
        send_message,
        send_photo,
        set_message_reaction,
        unpin_all_chat_messages,
        unpin_chat_message,
    )
}
