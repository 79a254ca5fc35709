"""``make bench-gate``: plants models of known worth and asks the gate at every look of a line's life.

Noise is approved how often over a life of twenty looks with a retraining every ten outcomes (at most 5% is promised),
and a model of a true AUC of 0.58 to 0.65, calibrated at a base rate of 0.4, how often at which look. Beside the gate
stand its AUC bound alone and the plan's bare rule (50 outcomes, accuracy above 55%).
"""

from __future__ import annotations

import argparse
import os
import sys
from multiprocessing import Pool

from tests.bench_gate import page
from tests.bench_gate.cases import measured


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-gate", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="rewrite docs/gate.md, the README's table and the picture")
    args = parser.parse_args()
    with Pool(os.cpu_count()) as workers:
        found = measured(workers, args.trials, args.seed)
    print(page.terminal(found))
    if args.write:
        page.write(found)
        print(f"\n{page.PAGE.name}, {page.README.name} and {page.PICTURE.name} are written anew", file=sys.stderr)
    return 0 if all(row.met is not False for row in found.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
