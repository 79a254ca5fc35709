"""What a page carries is what went in: the packing is undone here as ``page/data.js`` undoes it."""

from __future__ import annotations

import base64
import html
import json
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.candles import FloatArray, IntArray
from core.reports.page_data import packed_candles, packed_curve, packed_times, script_json, thinned
from tests.markets import M15, START, walk

HOSTILE = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["</script>", "<!--", "<script", "-->", "&lt;", "&", "]]>", "\u2028", "\u2029", '"', "\\", "\0"]
        )
    ).map("".join),
)


def unpacked(text: str, rows: int) -> FloatArray:
    plain = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    planes = plain.reshape(rows, 4, -1).astype(np.int64)
    folded: IntArray = planes[:, 0] | planes[:, 1] << 8 | planes[:, 2] << 16 | planes[:, 3] << 24
    values: FloatArray = ((folded >> 1) ^ -(folded & 1)).astype(np.float64)
    return values


def times_of(packed: dict[str, Any]) -> list[int]:
    missing = dict(packed["gaps"])
    times = [packed["start"]] if packed["count"] else []
    for row in range(1, packed["count"]):
        times.append(times[-1] + packed["step"] * (1 + missing.get(row, 0)))
    return times


def prices_of(packed: dict[str, Any]) -> FloatArray:
    opened, moved, above, below, _ = unpacked(packed["ticks"], 5)
    close = np.cumsum(opened + moved)
    first = close - moved
    top, bottom = np.maximum(first, close), np.minimum(first, close)
    prices: FloatArray = np.stack([first, top + above, bottom - below, close]) * 10.0 ** -packed["decimals"]
    return prices


@given(HOSTILE, HOSTILE)
def test_no_text_ends_the_script_or_is_changed(key: str, value: str) -> None:
    packed = script_json({key: [value]})

    assert not set("<>&\u2028\u2029") & set(packed)
    assert packed.isascii()
    assert json.loads(packed) == {key: [value]}


@given(HOSTILE)
def test_a_parser_of_html_finds_one_script_with_the_data_in_it(text: str) -> None:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

    reader = Reader()
    reader.feed(f'<script type="application/json">{script_json(text)}</script>')
    reader.close()

    assert json.loads("".join(found)) == text
    assert html.unescape(script_json(text)) == script_json(text)


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json([float("nan")])


@pytest.mark.parametrize("price", [1e-7, 0.02, 1.0, 100.0, 65_000.0, 4e8])
def test_candles_come_back_within_what_a_screen_shows(price: float) -> None:
    candles = walk(700, seed=3, gaps={100: 3, 400: 50})
    scale = price / 100
    candles = replace(
        candles,
        **{name: getattr(candles, name) * scale for name in ("open", "high", "low", "close")},
    )

    packed = packed_candles(candles)

    assert times_of(packed["time"]) == candles.time.tolist()
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    np.testing.assert_allclose(prices_of(packed), prices, rtol=2e-6)


def test_prices_on_a_grid_come_back_to_the_last_digit() -> None:
    candles = walk(500, seed=4)

    assert packed_candles(candles)["decimals"] == 2
    np.testing.assert_allclose(prices_of(packed_candles(candles))[3], candles.close, rtol=1e-15)


def test_volumes_come_back_to_a_step_of_their_root() -> None:
    candles = walk(500, seed=5)

    found = unpacked(packed_candles(candles)["ticks"], 5)[4]

    np.testing.assert_allclose(found, 255 * np.sqrt(candles.volume / candles.volume.max()), atol=0.501)
    still = replace(candles, volume=np.zeros(500))
    assert not unpacked(packed_candles(still)["ticks"], 5)[4].any()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_candles_are_packed_too(rows: int) -> None:
    candles = walk(3).rows(0, rows)

    packed = packed_candles(candles)

    assert times_of(packed["time"]) == candles.time.tolist()
    np.testing.assert_allclose(prices_of(packed)[3], candles.close, rtol=1e-15)


@given(st.lists(st.floats(-1e9, 1e9), max_size=40))
def test_a_curve_comes_back_to_nine_digits(values: list[float]) -> None:
    curve = np.array(values, dtype=np.float64)

    packed = packed_curve(curve)
    found = np.cumsum(unpacked(packed["steps"], 1)[0]) * 10.0 ** -packed["decimals"]

    tolerance = max(0.005, 1e-8 * float(np.abs(curve).max(initial=0))) * 1.01
    np.testing.assert_allclose(found, curve, atol=tolerance, rtol=0)


@given(st.lists(st.integers(1, 50), max_size=60))
def test_times_come_back_whatever_is_missing(steps: list[int]) -> None:
    times = START + np.cumsum(steps, dtype=np.int64) * M15.ms

    assert times_of(packed_times(times, M15.ms)) == times.tolist()


def test_thinning_keeps_what_lies_around_each_span() -> None:
    candles = walk(1000)
    span = int(candles.time[500]), int(candles.time[510])

    kept = thinned(candles, [span, (int(candles.time[0]), int(candles.time[0]))], 20, 5)

    wanted = [*range(6), *range(480, 516)]
    assert kept.time.tolist() == candles.time[wanted].tolist()
    assert kept.high.tolist() == candles.high[wanted].tolist()
    assert len(thinned(candles, [], 20, 5)) == 0
