"""Pictures as files, written alike by every command that draws one."""

from __future__ import annotations

from pathlib import Path

from core.cli import say
from core.services.whole_file import whole_file


def write_picture(path: Path, png: bytes) -> None:
    """A PNG, there whole or not at all; says where it is. Raises OSError."""
    with whole_file(path) as file:
        file.buffer.write(png)
    say(f"picture written to {path}")
