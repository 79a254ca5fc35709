"""What every page of ours shares: its files in ``page/``, the policy that lets it load nothing, tiles, filling in."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from importlib.resources import files

from core.reports.page_tiles import Tile


def asset(name: str) -> str:
    """A file of ``page/`` as text."""
    return files("core.reports").joinpath("page", name).read_text(encoding="utf-8")


def policy(style: str, script: str | None = None) -> str:
    """The Content-Security-Policy under which only this style and script are used and nothing is loaded."""
    scripts = f"script-src '{_hash(script)}'; " if script is not None else ""
    return (
        f"default-src 'none'; {scripts}style-src '{_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def filled(template: str, parts: Mapping[str, str]) -> str:
    """``{{name}}`` in the template replaced by its part, in one pass, so that nothing put in is searched again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def tile_html(tile: Tile) -> str:
    tone = f' class="{tile.tone}"' if tile.tone in ("good", "bad") else ""
    detail = f"<small>{html.escape(tile.detail)}</small>" if tile.detail else ""
    return f"<div><dt>{html.escape(tile.label)}</dt><dd{tone}>{html.escape(tile.value)}{detail}</dd></div>"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
