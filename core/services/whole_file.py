"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file to write into; it takes its name when the block ends well, and an older one stays otherwise.

    Makes the folder. A link stays one: what it points at is written. A device or a pipe, which has no older content to
    keep, is written into. Raises OSError, which names ``path`` or, where that is none, its folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    place = path.resolve() if path.is_symlink() else path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path.parent)) from None
    beside = path if _is_stream(path) else place.with_name(place.name + ".tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            if beside != path:
                os.fsync(file.fileno())
        if beside != path:
            beside.replace(place)
    except BaseException as error:
        if beside != path:
            with suppress(OSError):
                beside.unlink()
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error  # not the name beside it
        raise


def _is_stream(path: Path) -> bool:
    """Renaming a file to such a name would put an end to the device itself: ``--out /dev/null`` breaks a machine."""
    return path.exists() and (not path.is_file() or Path("/dev") in path.absolute().parents)
