"""The command line as a whole: exit codes, one line for an error, one object for --json, and a quick --help."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import __version__
from core.adapters.candle_files import CandleFiles
from core.cli import COMMANDS, Command, Context, main
from core.errors import (
    DataError,
    JulabaError,
    MarketError,
    ModelError,
    RateLimited,
    SettingsError,
    StoreError,
    UnknownPair,
    UsageError,
)
from julaba_tg.cli_table import CHAT_COMMANDS
from tests.fakes.mexc import FakeMexc, InThread, silent
from tests.markets import walk

ROOT = Path(__file__).parents[3]
JULABA = [sys.executable, "-c", "from julaba_tg.cli import main; main()"]
HEAVY = ("pandas", "pyarrow", "ccxt", "xgboost", "talib", "matplotlib", "telegram", "aiohttp", "google.genai", "scipy")


# Commands that end in every possible way, mounted beside the real ones.


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


_ending: BaseException | int = 0


def end(args: argparse.Namespace, context: Context) -> int:
    if isinstance(_ending, BaseException):
        raise _ending
    context.result({"ended": _ending}, f"ended with {_ending}")
    return _ending


END = Command("end", "ends as it is told", __name__, "no_arguments", "end")


def ending(monkeypatch: pytest.MonkeyPatch, with_: BaseException | int, *arguments: str) -> int:
    monkeypatch.setattr(sys.modules[__name__], "_ending", with_)
    return main(["end", *arguments], extra=[END])


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_gives_its_exit_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    assert ending(monkeypatch, code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JulabaError("a sentence"), 1),
        (DataError("a sentence"), 1),
        (ModelError("a sentence"), 1),
        (StoreError("a sentence"), 1),
        (MarketError("a sentence"), 1),
        (UnknownPair("a sentence"), 1),
        (RateLimited("a sentence", 3.0), 1),
        (UsageError("a sentence"), 2),
        (SettingsError("a sentence"), 2),
    ],
)
def test_an_error_is_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: JulabaError, code: int
) -> None:
    assert ending(monkeypatch, error, "--json") == code
    assert capsys.readouterr() == ("", "error: a sentence\n")


def test_a_refusal_of_the_computer_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(monkeypatch, PermissionError(13, "Permission denied", "out.csv")) == 1
    assert capsys.readouterr().err == "error: Permission denied: out.csv\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "stopped\n")


def test_json_or_text_is_all_of_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ending(monkeypatch, 0, "--json")
    assert json.loads(capsys.readouterr().out) == {"ended": 0}

    ending(monkeypatch, 0)
    assert capsys.readouterr().out == "ended with 0\n"


# Wrong use.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["backtest", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["backtest", "--days"], "expected one argument"),
        (["backtest", "--days", "0"], "argument --days: '0' is not a whole number of at least 1"),
        (["backtest", "--days", "999999999999"], "argument --days: 999999999999 is too many: at most 36,500"),
        (["check", "montecarlo", "--trials", "10000000000"], "argument --trials: 10000000000 is too many"),
        (["backtest", "--days", "-3"], "whole number"),
        (["backtest", "--from", "yesterday"], "'yesterday' is not a time"),
        (["backtest", "--from", "2024-02-01", "--to", "2024-01-01"], "must lie after"),
        (["backtest", "--history", "some"], "invalid choice: 'some'"),
        (["backtest", "--timeframe", "7m"], "is not one of 1m, 5m, 15m, 30m, 1h"),
        (["backtest", "--pairs", "LINK/USDT,???"], "???"),
        (["predict"], "PAIR"),
        (["predict", "a b"], "a b"),
        (["candles"], "import|check|export"),
        (["candles", "eat"], "invalid choice: 'eat'"),
        (["candles", "import"], "PATH"),
        (["export", "secrets"], "invalid choice: 'secrets'"),
        (["replay", "--days", "3", "--from", "2024-01-01"], "give one of them"),
        (["doctor", "--config", "missing.yaml"], "there is no settings file missing.yaml"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(command.name in err for command in COMMANDS)


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_each_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: julaba {command}")


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"julaba {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["backtest"], 1),
        (["predict", "LINK/USDT"], 1),
        (["train"], 1),
        (["pipeline", "--offline"], 1),
        (["replay"], 1),
        (["export", "trades"], 1),
        (["indicators", "LINK/USDT"], 1),
        (["candles", "check"], 1),
        (["candles", "export"], 1),
        (["candles", "import", "missing.csv"], 1),
    ],
)
def test_in_an_empty_place_each_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([*arguments, "--json"] if arguments[0] != "candles" else arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


NEED_NO_SETTINGS = {"backup", "restore"}  # they must be possible just when something is broken


@pytest.mark.parametrize(
    "command",
    [c.name for c in COMMANDS if c.name not in {"candles", "predict", "indicators"} | NEED_NO_SETTINGS],
)
def test_broken_settings_end_every_command_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("paper: {risk_per_trade: -1}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backtest.csv").write_text("a\n1\n")
    more = {"export": ["trades"], "check": ["warmup"], "train": ["--data", "data/backtest.csv"]}.get(command, [])

    assert main([command, *more]) == 2
    assert "paper.risk_per_trade is -1" in capsys.readouterr().err


# As processes of their own.


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*JULABA, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60, env=environ
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([c.name, "--help"] for c in COMMANDS)])
def test_asking_for_help_loads_no_heavy_library(tmp_path: Path, arguments: list[str]) -> None:
    script = (
        "import sys, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('LOADED', [m for m in heavy if m in sys.modules]))\n"
        "from julaba_tg.cli import main\n"
        f"sys.argv = ['julaba', *{arguments!r}]\n"
        "main()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, env=environ
    )
    loaded = done.stdout.splitlines()[-1]

    assert loaded == "LOADED []"


def test_run_without_a_token_says_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "")
    done = run("run", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no TELEGRAM_BOT_TOKEN; get one from @BotFather")
    assert not list(tmp_path.iterdir())


def test_run_with_nobody_to_talk_to_says_what_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:a-token-nobody-may-see")
    done = run("run", cwd=tmp_path)

    assert done.returncode == 2
    assert "access.users names nobody" in done.stderr
    assert "nobody-may-see" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["doctor"], ["candles", "check", "--data-dir", "{stored}", "--json"]]
)
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """As with ``julaba ... | head``, also where the answer waits in Python's buffer until the end."""
    CandleFiles(tmp_path / "candles").save(walk(50))
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    call = [*JULABA, *(text.format(stored=tmp_path) for text in arguments)]
    with subprocess.Popen(
        call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (0, b"")


def test_ctrl_c_in_the_middle_of_a_download_ends_it_cleanly(tmp_path: Path) -> None:
    mexc = FakeMexc(faults=[silent(20.0)] * 10)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with InThread(mexc):
        environ["JULABA__EXCHANGE__BASE_URL"] = mexc.url
        with subprocess.Popen(
            [*JULABA, "fetch", "--pairs", "LINK/USDT", "--days", "2", "--json"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
        ) as process:  # fmt: skip
            until = time.monotonic() + 60
            while not mexc.asked("klines") and time.monotonic() < until:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


def interrupted(cwd: Path, begin: str, *arguments: str, path: Path = ROOT) -> tuple[int, str, str]:
    """A process with ``begin`` before Julaba, sent a Ctrl-C as soon as it prints ``now``: code, stdout, stderr."""
    script = f"import sys, time\n{begin}\nfrom julaba_tg.cli import main\nmain()\n"
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = ""
        while "now\n" not in said and process.poll() is None:
            said += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, said + out, err


@pytest.mark.parametrize(("library", "arguments"), [("pandas", ["train"]), ("pydantic", ["export", "trades"])])
def test_ctrl_c_cannot_be_swallowed_by_an_import(tmp_path: Path, library: str, arguments: list[str]) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / f"{library}.py").write_text(
        "import time\ntry:\n    print('now', flush=True)\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
    )

    assert interrupted(tmp_path, "", *arguments, path=tmp_path / "slow") == (130, "now\n", "stopped\n")


def test_ctrl_c_when_the_work_is_done_is_said_as_well(tmp_path: Path) -> None:
    # A moment before `now`, for a signal in the instant before a wait begins would be heard only when it ends.
    begin = (
        "import threading\n"
        "def linger():\n    threading.main_thread().join()\n    time.sleep(1)\n    print('now', flush=True)\n"
        "    time.sleep(60)\nthreading.Thread(target=linger).start()"
    )
    code, _, err = interrupted(tmp_path, begin, "--version")

    assert (code, err) == (130, "stopped\n")


def test_ctrl_c_while_the_interpreter_takes_itself_down_changes_nothing(tmp_path: Path) -> None:
    begin = (
        "import os\nclass Last:\n    def __del__(self, write=os.write, sleep=time.sleep):\n"
        "        write(1, b'now\\n')\n        sleep(1)\nlast = Last()"
    )
    code, _, err = interrupted(tmp_path, begin, "--version")

    assert (code, err) == (0, "")


def test_what_a_command_needs_can_be_imported() -> None:
    for library in {name for command in [*COMMANDS, *CHAT_COMMANDS] for name in command.needs}:
        assert importlib.util.find_spec(library), library


@pytest.mark.parametrize("command", [c.name for c in COMMANDS if c.name != "doctor"])
def test_a_data_directory_that_is_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    words = {"export": "trades", "candles": "check", "check": "warmup", "predict": "LINK", "indicators": "LINK"}
    words["restore"] = "julaba.tar.gz"
    more = [words[command]] if command in words else []

    assert main([command, *more, "--data-dir", str(file)]) == 2
    assert capsys.readouterr().err == f"error: --data-dir {file} cannot be: {file} is no directory\n"
    assert main([command, *more, "--data-dir", str(file / "below")]) == 2
    assert f"{file} is no directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["fetch"], ["backtest"], ["pipeline", "--offline"], ["replay"]])
@pytest.mark.parametrize("pairs", ["", " , "])
def test_pairs_that_name_none_are_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str], pairs: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([*command, "--pairs", pairs]) == 2
    assert capsys.readouterr().err == "error: --pairs names no pair: write it like LINK/USDT,ETH/USDT\n"


@pytest.mark.parametrize("verb", ["check", "export"])
def test_pairs_of_candles_that_name_none_are_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["candles", verb, "--pairs", ""]) == 2
    assert "names no pair" in capsys.readouterr().err
