"""``predict``: what the champion says about a pair now, why, and what became of signals like it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from core import bootstrap
from core.cli import Context
from core.cli.options import add_timeframe, timeframe_of
from core.domain.candles import Pair, iso
from core.domain.trading import Direction, ModelOpinion, Neighbour
from core.errors import DataError, ModelError
from core.ports import Prediction

_SHOWN_LINES = 8


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pair", type=Pair.parse, metavar="PAIR", help="such as LINK/USDT")
    add_timeframe(parser)


def predict(args: argparse.Namespace, context: Context) -> int:
    """What the champion would say of a signal at the pair's last stored candle."""
    from core.engine.strategy import last_snapshot
    from core.ml.features import features_of
    from core.ml.neighbours import summary
    from core.ml.surroundings import scene_of
    from core.ml.words import label_of, lines, share_words
    from core.services.predict import load

    frame = timeframe_of(args, context.settings)
    store, settings = bootstrap.candle_store(context.data_dir), context.settings
    candles = store.load(args.pair, frame)
    snapshot = last_snapshot(candles, context.settings.candles.max_gap)
    if snapshot is None:
        raise DataError(f"no {frame.name} candles of {args.pair} are stored; get them with `julaba fetch`")
    asked = load(bootstrap.model_files(context.data_dir))
    if asked is None:
        raise ModelError("there is no model yet; train one with `julaba train` or `julaba pipeline`")
    champion = asked.champion
    # Without a crossover there is no direction: the one that the averages would give.
    direction = Direction.LONG if snapshot.sma_15 > snapshot.sma_40 else Direction.SHORT
    others = [store.load(pair, frame) for pair in dict.fromkeys((*settings.traded, settings.btc))]
    scene = scene_of(others, [args.pair], settings)
    features = {n: v for n, v in features_of(snapshot, candles, direction, scene).items() if n in champion.features}
    found = asked.predict(features, direction, snapshot.open_time + frame.ms)
    opinion = ModelOpinion(found.model_id, found.probability, champion.manifest.base_rate, 0.5)
    data = {
        "pair": str(args.pair),
        "time": iso(snapshot.open_time),
        "direction": direction.value,
        "model_id": found.model_id,
        "features": {name: None if math.isnan(value) else value for name, value in features.items()},
        "ml_win_probability": found.probability,
        "ml_confidence": opinion.confidence,
        "ml_recommendation": opinion.recommendation,
        "size_rank": found.size_rank,
        "reasons": [
            {"feature": n, "value": v, "log_odds": share, "words": f"{label_of(n, v)} {share_words(share)}"}
            for n, v, share in found.contributions
        ],
        "words": [line.words for line in lines(found.contributions)],
        "neighbours": [_neighbour(n) for n in found.neighbours],
        "neighbours_summary": summary(found.neighbours),
    }
    context.result(data, _text(f"{args.pair} {direction.value}", snapshot.open_time, found, opinion))
    return 0


def _neighbour(n: Neighbour) -> dict[str, object]:
    return {
        "pair": n.pair,
        "direction": n.direction.value,
        "time": iso(n.decided_at),
        "realized_r": n.realized_r,
        "distance": n.distance,
    }


def _text(signal: str, open_time: int, found: Prediction, opinion: ModelOpinion) -> str:
    from core.ml.words import base_of, lines, probability_of, rest_words, share_words, told

    shown, rest = told(lines(found.contributions), _SHOWN_LINES)
    width = max((len(line.label) for line in shown), default=0)
    rows = [
        f"{signal}, candle of {iso(open_time)}: win probability {found.probability:.0%} "
        f"(wins among its samples, newer ones counting more: {opinion.average:.0%}), {opinion.confidence}, "
        f"{opinion.recommendation}",
        f"model {found.model_id}, from {probability_of(base_of(found.contributions) or 0.0):.0%} before it has seen "
        "anything; what moved it most, in log-odds (+ speaks for a win):",
        *(f"  {line.label:<{width}}  {share_words(line.share)}" for line in shown),
        *([f"  {rest_words(rest)}"] if rest else []),
    ]
    if found.size_rank is not None:
        rows.append(f"expected R: above {found.size_rank:.0%} of the unseen signals")
    return "\n".join([*rows, *_past(found.neighbours)])


def _past(neighbours: Sequence[Neighbour]) -> list[str]:
    from core.ml.neighbours import DISTANCE_WORDS, summary

    if not neighbours:
        return []
    return [
        f"{summary(neighbours)}:",
        *(
            f"  {n.pair:<10}  {n.direction.value:<5}  {iso(n.decided_at)}  {n.realized_r:+.2f}R  "
            f"distance {n.distance:.2f}"
            for n in neighbours
        ),
        DISTANCE_WORDS,
    ]
