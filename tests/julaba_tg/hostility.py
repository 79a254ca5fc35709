"""Updates as an enemy, a fool or a fault would send them, from a seed. None of them may change anything.

What a known person could rightly ask for comes here only from who may not, too late, edited, for another bot, or with
words that mean nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

from julaba_tg.commands import COMMANDS
from tests.julaba_tg.conftest import OWNER, STRANGER, VIEWER
from tests.julaba_tg.people import OPERATOR

Update = dict[str, Any]

TRUSTED = (OWNER, OPERATOR)
FACELESS = (1087968824, 136817688, 777000)
LOOKING = sorted({c.name for c in COMMANDS if not c.changes} - {c.name for c in COMMANDS if c.changes})
CHANGING = [c for c in COMMANDS if c.changes]
NONSENSE = (
    "sideways",
    "💥" * 3,
    "</b>",
    "&amp;&#0;",
    "-1",
    "\u202e\u200b",
    "1e309",
    "%s%n",
    "' OR 1=1 --",
    "𝟙𝟚",
    "x" * 40,
)
PIECES = (
    *NONSENSE,
    *(
        "<b>",
        "<blockquote expandable>",
        "&lt;",
        "]]>",
        "\x00",
        "\n\n",
        "\u2028",
        "\ufeff",
        "🧨👩‍👩‍👧‍👦",
        "ﷺ",
        "Ω≈ç√",
        "/",
        "/start",
        "yes",
    ),
    *(
        "LINK",
        "0.25",
        "👍",
        "https://example.com",
        "@julaba_demo_bot",
        "what is this?",
        "\ud83d",
        "a\u0301" * 20,
        " " * 30,
    ),
)
HUGE = (2**31, 2**52, 2**63, 2**64 + 1, -(2**63), 0)


class Enemy:
    """Gives one hostile update after the other. ``now`` is in epoch seconds, ``cards`` are messages that are there."""

    def __init__(self, seed: int, now: int, cards: tuple[int, ...], group: int) -> None:
        self._dice = random.Random(seed)
        self._now = now
        self._cards = cards
        self._group = group
        self._number = 50_000_000
        self._sent: list[Update] = []

    def update(self, update_id: int) -> Update:
        """The next one; now and then one that came before, with the number it had."""
        if self._sent and self._dice.random() < 0.05:
            return self._dice.choice(self._sent)
        made = {"update_id": update_id, **self._pick(self._KINDS)(self)}
        self._sent.append(made)
        if len(self._sent) > 500:
            self._sent.pop(0)
        return made

    # What they are made of.

    def _pick(self, weighted: dict[Any, int]) -> Any:
        return self._dice.choices(list(weighted), list(weighted.values()))[0]

    def _person(self) -> Update:
        return user(self._pick({OWNER: 5, OPERATOR: 2, VIEWER: 4, STRANGER: 2, self._dice.randrange(10**10): 2}))

    def _nobody(self) -> Update:
        """Somebody who may change nothing, whatever they ask for."""
        number = self._dice.randrange(2_000_000_000)
        return self._dice.choice(
            [
                user(VIEWER),
                user(STRANGER),
                user(number),
                user(self._dice.choice(FACELESS)),
                {**user(OWNER), "is_bot": True},
            ]
        )

    def _words(self) -> str:
        if self._dice.random() < 0.3:
            return "".join(chr(self._dice.randrange(1, 0xD7FF)) for _ in range(self._dice.randrange(1, 60)))
        return " ".join(self._dice.choices(PIECES, k=self._dice.randrange(1, 9)))

    def _order(self) -> str:
        """A command that would change something."""
        return self._dice.choice(CHANGING).example

    def _message(self, who: Update | None, text: str | None, **more: Any) -> Update:
        self._number += 1
        chat = self._pick({"own": 8, "group": 2})
        place = (
            private(who) if chat == "own" or who is None else {"id": self._group, "type": "supergroup", "title": "Desk"}
        )
        found: Update = {"message_id": self._number, "date": self._now, "chat": place}
        if who is not None:
            found["from"] = who
        if text is not None:
            found["text"] = text
        return {**found, **more}

    # The kinds.

    def fuzz(self) -> Update:
        words = self._words()
        return {"message": self._message(self._person(), words if words.lstrip()[:1] != "/" else f"- {words}")}

    def look(self) -> Update:
        name = self._dice.choice(LOOKING)
        return {"message": self._message(self._person(), f"/{name} {self._words()}".strip())}

    def long(self) -> Update:
        name = self._dice.choice(LOOKING)
        return {"message": self._message(self._person(), f"/{name} {self._dice.choice(PIECES) * 4096}"[:4096])}

    def order_by_nobody(self) -> Update:
        return {"message": self._message(self._nobody(), self._order())}

    def order_edited(self) -> Update:
        kind = self._dice.choice(["edited_message", "channel_post", "edited_channel_post", "business_message"])
        return {kind: self._message(self._person(), self._order(), edit_date=self._now)}

    def order_by_a_chat(self) -> Update:
        """A channel or the group itself speaks in a person's name."""
        return {
            "message": self._message(
                user(OWNER), self._order(), sender_chat={"id": -1005, "type": "channel", "title": "x"}
            )
        }

    def order_for_another(self) -> Update:
        name, _, rest = self._order().partition(" ")
        return {"message": self._message(self._person(), f"{name}@some_other_bot {rest}".strip())}

    def order_too_old(self) -> Update:
        return {
            "message": self._message(self._person(), self._order(), date=self._now - self._dice.randrange(200, 10**8))
        }

    def order_that_means_nothing(self) -> Update:
        line = self._dice.choice([c for c in CHANGING if c.arguments and "[" not in c.arguments])
        return {
            "message": self._message(
                self._person(), f"/{line.name} {line.word} {self._dice.choice(NONSENSE)} {self._dice.choice(NONSENSE)}"
            )
        }

    def bare_number(self) -> Update:
        return {"message": self._message(self._person(), str(self._dice.randrange(10_000)))}

    def tap(self) -> Update:
        who = self._dice.choice([self._person(), self._nobody()])
        data = self._data(trusted=who["id"] in TRUSTED and not who["is_bot"])
        return {"callback_query": self._query(who, data=data)}

    def _data(self, trusted: bool) -> str:
        verb = self._dice.choice(
            ["go", "new", "yes", "no", "do", "ok", "confirm", "cancel", "GO", "", "💥", "undo", "set"]
        )
        if not trusted and self._dice.random() < 0.5:
            argument = self._dice.choice([self._order().removeprefix("/"), "3", "1"])
        elif verb in {"yes", "no"}:
            argument = self._dice.choice(["999999", "0", "-3", "3.0", "٣", "1" * 15, "1" * 16, "x", "", "three"])
        else:
            wrong = self._dice.choice([c for c in CHANGING if c.arguments and "[" not in c.arguments])
            looks = f"{self._dice.choice(LOOKING)} {self._dice.choice(NONSENSE)}"
            stale = f"{wrong.name} {wrong.word} {self._dice.choice(NONSENSE)} {self._dice.choice(NONSENSE)}"
            argument = self._dice.choice(
                [looks, stale, self._words(), "close LINK/USDT 00000000", "panic 0", "drop tables"]
            )
            argument = "" if argument.split()[:1] == ["start"] else argument
        return f"{verb}:{argument}".encode(errors="replace")[:64].decode(errors="ignore")

    def _query(self, who: Update, **more: Any) -> Update:
        self._number += 1
        found: Update = {"id": str(self._number), "from": who, "chat_instance": str(self._dice.choice(HUGE)), **more}
        place = private(who)
        shown = self._dice.choice(
            [
                None,
                {"chat": place, "message_id": self._dice.choice(self._cards), "date": 0},
                {"chat": place, "message_id": self._dice.choice(HUGE[:3]), "date": 0},
                self._message(who, "an old card", message_id=self._dice.choice(self._cards)),
                self._message(None, None, chat={"id": self._group, "type": "supergroup", "title": "Desk"}),
            ]
        )
        if shown is None:
            return {**found, "inline_message_id": "AAAA"}
        return {**found, "message": shown}

    def tap_without_data(self) -> Update:
        return {"callback_query": self._query(self._person(), game_short_name="chess")}

    def reaction(self) -> Update:
        """Thumbs by who may not answer, thumbs taken away, and thumbs on what is no card."""
        thumb = [{"type": "emoji", "emoji": self._dice.choice("👍👎🔥")}]
        other = [{"type": "custom_emoji", "custom_emoji_id": "5"}, {"type": "paid"}, {"type": "something new"}]
        who, new, old = self._dice.choice(
            [
                ({"user": self._nobody()}, thumb, []),
                ({"user": user(OWNER)}, [], thumb),
                ({"user": user(OWNER)}, [*thumb, *thumb], [*thumb]),
                ({"user": user(OWNER)}, [self._dice.choice(other)], []),
                ({"actor_chat": {"id": -1005, "type": "channel", "title": "x"}}, thumb, []),
            ]
        )
        place = private(who.get("user") or user(OWNER))
        card = self._dice.choice(self._cards)
        return {
            "message_reaction": {
                **{"chat": place, "message_id": card, "date": self._now, "old_reaction": old, "new_reaction": new},
                **who,
            }
        }

    def reply(self) -> Update:
        """Yes and no by who may not say it, or to what is no card; deep replies; replies to nothing."""
        who = self._dice.choice([self._nobody(), user(OPERATOR)])
        card = self._message(None, "a card", message_id=self._dice.choice(self._cards))
        for _ in range(self._dice.randrange(3)):
            card = self._message(who, "deeper", reply_to_message=card)
        return {
            "message": self._message(who, self._dice.choice(["yes", "no", "👍", "ok", "ja"]), reply_to_message=card)
        }

    def no_text(self) -> Update:
        more: Update = self._dice.choice(
            [
                {"photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}], "caption": self._order()},
                {
                    "sticker": {
                        "file_id": "a",
                        "file_unique_id": "b",
                        "type": "regular",
                        "width": 1,
                        "height": 1,
                        "is_animated": False,
                        "is_video": False,
                    }
                },
                {"new_chat_members": [user(STRANGER)]},
                {"left_chat_member": user(STRANGER)},
                {"migrate_to_chat_id": -1007},
                {"location": {"latitude": 1e308, "longitude": float("-1")}},
                {"unknown_future_field": {"a": [1, 2, {}]}},
                {"dice": {"emoji": "🎲", "value": 6}},
                {"text": ""},
                {"forum_topic_created": {"name": self._words(), "icon_color": 1}},
            ]
        )
        return {"message": self._message(self._person(), more.pop("text", None), **more)}

    def no_sender(self) -> Update:
        return {"message": self._message(None, self._order(), chat={"id": -1005, "type": "channel", "title": "x"})}

    def strange_times(self) -> Update:
        date = self._dice.choice([0, 1, -1, self._now + 10**6, 2**31 - 1, 2**40])
        return {"message": self._message(self._nobody(), self._order(), date=date)}

    def huge(self) -> Update:
        who = {**user(self._dice.choice(HUGE)), "first_name": self._words() * 20}
        return {
            "message": self._message(
                who,
                self._order(),
                message_id=self._dice.choice(HUGE),
                chat={"id": self._dice.choice(HUGE), "type": "private"},
            )
        }

    def other_kind(self) -> Update:
        return self._dice.choice(
            [
                {"poll": {"id": "1", "question": "?", "options": []}},
                {"inline_query": {"id": "1", "from": user(OWNER), "query": self._order(), "offset": ""}},
                {"my_chat_member": {"chat": private(user(OWNER)), "from": user(OWNER), "date": self._now}},
                {"chat_join_request": {"chat": private(user(OWNER)), "from": user(STRANGER)}},
                {"something_of_next_year": {"from": user(OWNER), "text": self._order()}},
                {},
            ]
        )

    def broken(self) -> Update:
        """What the library cannot read."""
        return self._dice.choice(
            [
                {"message": {"text": self._order()}},
                {"message": "not an object"},
                {"message": self._message({"id": "x"}, self._order())},
                {"message": self._message(user(OWNER), self._order(), date="yesterday")},
                {"message": self._message(user(OWNER), self._order(), date=10**15)},
                {"callback_query": {"id": "1"}},
                {"callback_query": None, "message_reaction": []},
            ]
        )

    _KINDS: ClassVar[dict[Callable[[Enemy], Update], int]] = {
        fuzz: 14,
        look: 14,
        long: 3,
        order_by_nobody: 12,
        order_edited: 5,
        order_by_a_chat: 2,
        order_for_another: 4,
        order_too_old: 6,
        order_that_means_nothing: 8,
        bare_number: 3,
        tap: 20,
        tap_without_data: 2,
        reaction: 6,
        reply: 6,
        no_text: 5,
        no_sender: 2,
        strange_times: 3,
        huge: 3,
        other_kind: 3,
        broken: 3,
    }


def user(number: int) -> Update:
    return {"id": number, "is_bot": False, "first_name": f"U{number}"}


def private(who: Update | None) -> Update:
    return {"id": who["id"] if who is not None else STRANGER, "type": "private", "first_name": "x"}
