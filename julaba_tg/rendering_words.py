"""Answers in words: the answer, what of it is in doubt, and the figures it used with where they stand."""

from __future__ import annotations

import re

from core.services.words import Source, WordsView
from julaba_tg.card import Card, card, quote, section, text

_FIRST_SENTENCE = re.compile(r"(.{1,240}?[.!?…])(?:\s+|$)")
_MOST_SOURCES = 8


def thinking() -> Card:
    return card("💭 Looking into the books")


def too_many(wait: str) -> Card:
    return card(f"🐢 That was a lot of questions; ask again in {wait}.", "Commands work as always: /help")


def answer(view: WordsView) -> Card:
    """The first sentence is the title: all that a locked phone shows."""
    first, *others = view.text.splitlines()
    found = _FIRST_SENTENCE.match(first)
    rest = [first[found.end() :] if found else "", *others]
    title = found[1] if found else "From the books"
    return card(
        f"💬 {title}",
        section(line for line in (rest if found else [first, *others]) if line.strip()),
        section([f"⚠️ Not from my books: {', '.join(view.doubts)}"] if view.doubts else []),
        text([] if view.sources or view.drafts else ["Said without a look into the books."]),
        quote(_sources(view.sources)),
    )


def no_answer(near: Card, reason: str) -> Card:
    """In place of an answer: what else there is, and why."""
    why = text([f"No answer in words: {reason}."] if reason else [])
    return Card(near.title, (*near.blocks, why))


def _sources(sources: tuple[Source, ...]) -> list[str]:
    lines = ["Looked at, with the figures used:"] if sources else []
    for source in sources[:_MOST_SOURCES]:
        what = f"{source.name} ({source.arguments})" if source.arguments else source.name
        lines.append(f"{what}: {' · '.join(source.figures) or 'none'}")
    return lines
