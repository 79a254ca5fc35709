"""``config.yaml`` and ``JULABA__SECTION__KEY`` become one frozen ``Settings``.

Unknown or impossible values raise SettingsError naming the key, the value and what is allowed. Secrets come from the
environment or ``.env`` and are refused in ``config.yaml``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from core.config import PairSettings, Settings, Variant
from core.errors import SettingsError

ENV_PREFIX = "JULABA__"
DEFAULT_CONFIG = Path("config.yaml")
DEFAULT_DATA_DIR = Path("data")

_SECRET_KEY = re.compile(r"(token|secret|password|api_?key)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"^(\d{6,}:[A-Za-z0-9_-]{30,}|AIza[A-Za-z0-9_-]{30,})$")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without the traps: a key given twice is refused, and bare words are read as YAML 1.2 reads them.

    PyYAML's own rules make 12:30 the number 750, 012 ten, 1e3 a text, and `no`, `off` and a pair called ON booleans.
    """


def _mapping_without_duplicates(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise SettingsError(f"line {key_node.start_mark.line + 1}: a list or mapping cannot be a key")
        if key in seen:
            raise SettingsError(f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice; keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)
_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _form, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.inf|\.nan)$", "-+."),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), [*_first, ""])


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's top mapping. Raises SettingsError with the line where it is no YAML mapping or holds a secret."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except SettingsError as error:
        raise SettingsError(f"{path}, {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise SettingsError(f"{path}{where} is not valid YAML: {reason}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold `key: value` lines, found a {type(content).__name__}")
    _refuse_secrets(content, path)
    return content


def _refuse_secrets(content: Mapping[Any, Any], path: Path, prefix: str = "") -> None:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _refuse_secrets(value, path, f"{name}.")
        elif isinstance(value, list):
            _refuse_secrets(dict(enumerate(value)), path, f"{name}.")
        elif _SECRET_KEY.search(str(key)) or (isinstance(value, str) and _SECRET_VALUE.match(value)):
            raise SettingsError(
                f"{path}: {name} looks like a secret; put it into the environment or .env "
                "(TELEGRAM_BOT_TOKEN, GEMINI_API_KEY) and remove it here"
            )


def _overrides(environ: Mapping[str, str]) -> list[tuple[list[str], Any, str]]:
    """``JULABA__PAPER__FEE_RATE=0.001`` as (path, value, variable); values are read as YAML, so lists work."""
    found = []
    for variable in sorted(environ):
        if variable.upper().startswith(ENV_PREFIX):
            try:
                value = yaml.load(environ[variable], Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
            except (yaml.YAMLError, SettingsError) as error:
                raise SettingsError(f"{variable}={environ[variable]!r} is not a valid value") from error
            found.append((variable[len(ENV_PREFIX) :].lower().split("__"), value, variable))
    return found


def _with_overrides(content: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    merged = dict(content)
    for path, value, variable in _overrides(environ):
        level = merged
        for key in path[:-1]:
            inner = level.get(key)
            if inner is not None and not isinstance(inner, dict):
                raise SettingsError(f"{variable}: {key} is not a section")
            level[key] = dict(inner or {})
            level = level[key]
        level[path[-1]] = value
    return merged


def _sentence(error: ValidationError, content: Mapping[str, Any], source: str) -> str:
    """The first fault as ``config.yaml: paper.fee_rate is -1: Input should be greater than or equal to 0``."""
    fault = error.errors()[0]
    key = (".".join(str(part) for part in fault["loc"]) or "settings") + _pair_at(fault["loc"], content)
    if fault["loc"][:2] == ("access", "users") and fault["loc"][-1] == "[key]":
        return f"{source}: access.users.{fault['input']}: user ids are numbers (@userinfobot tells yours)"
    key = key.removesuffix(".[key]")
    if fault["type"] == "extra_forbidden":
        section = _section_at(fault["loc"][:-1])
        known = f"; known here: {', '.join(section)}" if section else ""
        return f"{source}: unknown key {key}{known}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "model_type":
        reason = "a section is wanted, keys and values below its name; where all its keys are gone, remove the name too"
    value = "" if isinstance(fault["input"], dict | list | tuple) else f" is {fault['input']!r}"
    return f"{source}: {key}{value}: {reason}{more}"


def _pair_at(path: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """Which pair ``pairs.0.risk`` is about, such as `` (LINK/USDT)``; empty where none is named."""
    if len(path) < 3 or path[0] != "pairs" or not isinstance(path[1], int):
        return ""
    symbol = content["pairs"][path[1]].get("symbol")
    return f" ({symbol})" if isinstance(symbol, str) and path[2] != "symbol" else ""


def _section_at(path: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at a path of the settings; empty where that is no section."""
    if path[:1] == ("variants",) and len(path) == 2:
        return list(Variant.model_fields)
    model: Any = Settings
    for part in path:
        if isinstance(part, int):
            model = PairSettings
            continue
        info = getattr(model, "model_fields", {}).get(part)
        model = info.annotation if info else None
    return list(getattr(model, "model_fields", {}))


def section_from(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    """What the environment says of one section, unchecked; empty where it says nothing. Raises SettingsError."""
    section = _with_overrides({}, environ).get(name)
    return section if isinstance(section, dict) else {}


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``path`` (default ``./config.yaml``, which may be missing) and the environment.

    Raises SettingsError naming the key, the value and what is allowed; a file named by the caller must exist.
    """
    environ = os.environ if environ is None else environ
    file = path or DEFAULT_CONFIG
    if path is not None and not path.exists():
        raise SettingsError(f"there is no settings file {path}")
    content = read_yaml(file) if file.exists() else {}
    source = str(file) if file.exists() else "settings"
    try:
        settings = Settings.model_validate(content)
        if _overrides(environ):
            content = _with_overrides(content, environ)
            settings = Settings.model_validate(content)
    except ValidationError as error:
        names = ", ".join(v for _, _, v in _overrides(environ))
        raise SettingsError(_sentence(error, content, source if not names else f"{source} with {names}")) from None
    return settings
