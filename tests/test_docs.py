"""The docs are tested: what can be typed or set is written down, and what is written down exists."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import __version__
from core.cli import COMMANDS, build_parser
from core.config import Settings
from core.config_file import read_yaml
from core.ml.features import FEATURES_V1, FEATURES_V2
from julaba_tg.cli_table import CHAT_COMMANDS
from julaba_tg.commands import COMMANDS as CHAT
from julaba_tg.commands import table_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LINES = {line.removeprefix("| `").split("`")[0]: line for line in README.splitlines() if line.startswith("| `julaba ")}
SHARED = {"--help", "--config", "--data-dir", "--json", "--verbose"}


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each thing that can be called, with its verb: ``candles import``."""
    every = [*COMMANDS, *CHAT_COMMANDS]
    for command in every:
        parser = subparsers(build_parser(every, command.name))[command.name]
        verbs = subparsers(parser)
        for verb, child in verbs.items():
            yield f"{command.name} {verb}", child
        if not verbs:
            yield command.name, parser


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


ALL = dict(commands())


# README: the chat, the command line.


def test_the_chat_table_is_the_one_the_bot_works_from() -> None:
    assert table_markdown() in README


@pytest.mark.parametrize("name", sorted({command.name for command in CHAT}))
def test_every_chat_command_is_in_the_readme(name: str) -> None:
    assert f"`/{name}" in README


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_a_line_with_exactly_its_options(name: str) -> None:
    line = next(text for usage, text in LINES.items() if f"{usage} ".startswith(f"julaba {name} "))

    assert set(re.findall(r"--[a-z][a-z-]*", line)) == options(ALL[name]) - SHARED


def test_a_replay_is_said_to_ask_neither_gemini_nor_the_model() -> None:
    assert "without Gemini and the model" in LINES["julaba replay"]
    assert "A replay asks neither Gemini" in README


def test_no_line_is_about_a_command_that_is_not_there() -> None:
    assert len(LINES) == len(ALL)


@pytest.mark.parametrize("option", sorted(SHARED - {"--help"}))
def test_the_shared_options_are_explained(option: str) -> None:
    assert f"`{option}" in README
    assert all(option in options(parser) for parser in ALL.values())


@pytest.mark.parametrize("choice", ["trades", "shadows", "decisions"])
def test_what_can_be_exported_is_named(choice: str) -> None:
    assert choice in LINES["julaba export trades"]


def shell_lines() -> list[str]:
    """The calls of julaba in the README's shell examples, without remarks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    found = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in found if line.removeprefix(".venv/bin/").startswith("julaba ")]


def test_the_examples_can_be_typed_as_they_stand() -> None:
    """`make demo` makes `.venv` and activates nothing."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)

    assert not [line for block in blocks for line in block.splitlines() if line.startswith("julaba ")]


@pytest.mark.parametrize("line", shell_lines())
def test_every_example_can_be_called(line: str) -> None:
    _, name, *rest = shlex.split(line)
    every = [*COMMANDS, *CHAT_COMMANDS]

    assert build_parser(every, name).parse_args([name, *rest]).command == name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)", README))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


# Settings.


def settings_keys() -> list[str]:
    content = Settings().model_dump()
    sections = {name: value for name, value in content.items() if isinstance(value, dict)}
    return [*content, *(f"{name}.{key}" for name, section in sections.items() for key in section)]


@pytest.mark.parametrize("key", settings_keys())
def test_every_setting_is_in_the_settings_file(key: str) -> None:
    found: object = read_yaml(ROOT / "config.yaml")
    for part in key.split("."):
        assert isinstance(found, dict)
        assert part in found
        found = found[part]


def named_settings() -> list[str]:
    """``section.key`` and ``JULABA__SECTION__KEY`` as the pages name them."""
    sections = "|".join(name for name, value in Settings().model_dump().items() if isinstance(value, dict))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    variables = re.findall(r"JULABA__([A-Z_]+?)__([A-Z_]+)", text)
    dotted = re.findall(rf"`((?:{sections})\.[a-z_]+)`", text)
    return sorted({*dotted, *(f"{section}.{key}".lower() for section, key in variables)})


@pytest.mark.parametrize("name", named_settings())
def test_a_setting_that_the_pages_name_exists(name: str) -> None:
    assert name in settings_keys()


# The rest of the repository.


def test_the_changelog_names_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert declared == __version__
    assert re.search(rf"^## {re.escape(__version__)}\b", changelog, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))

    assert not [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]


def test_the_readme_shows_a_picture() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)

    assert pictures
    assert not [path for path in pictures if not (ROOT / path).is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_files_that_the_pages_name_exist(page: Path) -> None:
    named = re.findall(r"`((?:core|julaba_tg|tests)/[\w/]+\.py)`", page.read_text(encoding="utf-8"))

    assert not [path for path in named if not (ROOT / path).exists()]


def repository_files() -> list[Path]:
    """What belongs to the repository; where git cannot say, everything that is text and not made by a tool."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        skip = {".git", ".venv", "data", "build", "dist"}
        paths = [p for p in ROOT.rglob("*") if p.is_file() and not skip & set(p.relative_to(ROOT).parts)]
    return [p for p in paths if p.is_file() and p.suffix not in {".png", ".ico", ".woff2", ".pyc"}]


# Put together here so that this file does not name what it looks for.
_PLACES = "|".join(("work", "home", "root", "Users"))
_MACHINE = re.compile(rf"(?<![\w.$}}/~-])/(?:{_PLACES})/\w")
_REGISTRY = re.compile(
    "|".join((r"\bpypi\." + "org", "python" + "hosted", "extra-index" + "-url", r"/simple" + r"/?\b\S*$"))
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in repository_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if _MACHINE.search(line) or _REGISTRY.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")

    assert not found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_hold_no_addresses(name: str) -> None:
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def test_the_features_table_has_every_feature_of_every_set() -> None:
    rows = [line.split("|") for line in (ROOT / "docs/features.md").read_text().splitlines() if line.startswith("| `")]
    listed = {row[1].strip().strip("`"): row[2].strip() for row in rows}

    assert tuple(listed) == FEATURES_V2
    assert {name for name, group in listed.items() if group == "v1"} == set(FEATURES_V1)
    assert all(cell.strip() for row in rows for cell in row[1:6])
