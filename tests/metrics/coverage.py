"""How often intervals of a rate hold the truth where films of a group are alike: `python -m tests.metrics.coverage`."""

import numpy as np

from fracture.metrics.uncertainty import proportion
from tests.wilson import wilson


def groups_of(counts):
    """Give the size of every group from {size: how many}."""
    return np.repeat(list(counts), list(counts.values()))


SIZES = {
    "fractured films of test": groups_of({1: 27, 2: 40, 3: 3, 4: 8, 5: 2, 6: 1, 7: 1}),
    "normal films of test": groups_of({1: 174, 2: 70, 3: 27, 4: 10, 5: 7, 6: 4, 9: 1}),
    "fractured films of val": groups_of({1: 16, 2: 15, 3: 2, 5: 1, 6: 1}),
    "30 groups": groups_of({1: 10, 2: 14, 3: 2, 4: 3, 6: 1}),
    "12 groups": groups_of({1: 4, 2: 5, 4: 2, 6: 1}),
    "10 groups of ten": groups_of({10: 10}),
    "47 groups, one of 30": groups_of({1: 40, 2: 5, 10: 1, 30: 1}),
}
"""The first three are the shipped deal of FracAtlas: 171 films in 82 groups, 503 in 293, 63 in 35."""


def draw(sizes, rate, alike, runs, rng):
    """Draw how many films of each group succeed, (runs, groups); ``alike`` is the correlation within a group.

    Each group has a rate of its own, from the beta distribution.
    """
    if alike == 0:
        return rng.binomial(sizes, rate, (runs, len(sizes)))
    if alike == 1:
        return sizes * (rng.random((runs, len(sizes))) < rate)
    spread = (1 - alike) / alike
    return rng.binomial(sizes, rng.beta(rate * spread, (1 - rate) * spread, (runs, len(sizes))))


def by_groups(found, sizes):
    """Give the ends of the interval of `proportion`, (runs,) each."""
    names = [str(group) for group in range(len(sizes))]
    told = [proportion(one, sizes, names) for one in found]
    return np.array([one.low for one in told]), np.array([one.high for one in told])


def by_films(found, sizes):
    """Give the ends of Wilson's interval, every film counted as independent."""
    n = int(sizes.sum())
    told = {total: wilson(total, n) for total in np.unique(found.sum(axis=1)).tolist()}
    totals = found.sum(axis=1).tolist()
    return np.array([told[total].low for total in totals]), np.array([told[total].high for total in totals])


def by_bootstrap(found, sizes, resamples=1000):
    """Give the ends of the percentile bootstrap over groups; all runs share their draws."""
    drawn = np.random.default_rng(1).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), resamples)
    low, high = np.quantile((found @ drawn.T) / (drawn @ sizes), [0.025, 0.975], axis=1)
    return low, high


def coverage(interval, sizes, rate, alike, runs, seed=0):
    """Give the share of runs whose interval holds the true rate, and the mean width."""
    low, high = interval(draw(sizes, rate, alike, runs, np.random.default_rng(seed)), sizes)
    return float(((low <= rate) & (rate <= high)).mean()), float((high - low).mean())


def main(runs=10_000):
    """Print a row per size and correlation: the lowest coverage over rates of .5 to .95, and the mean width."""
    rates, ways = (0.5, 0.7, 0.8, 0.9, 0.95), (by_groups, by_films, by_bootstrap)
    print("| groups | correlation | `proportion` | Wilson, films | bootstrap |\n| --- | --- | --- | --- | --- |")
    for name, sizes in SIZES.items():
        for alike in (0, 0.2, 0.4, 0.8):
            cells = []
            for way in ways:
                told = [coverage(way, sizes, rate, alike, runs) for rate in rates]
                cells.append(f"{min(held for held, _ in told):.3f} ({np.mean([width for _, width in told]):.3f})")
            print(f"| {name} | {alike:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
