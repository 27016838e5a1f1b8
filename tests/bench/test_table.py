"""The table of benches."""

import pytest

from bench import BENCHES, run
from fracture.core.errors import BadValue


def test_an_unknown_bench_is_refused_with_the_known_ones():
    with pytest.raises(BadValue, match=f"out of {', '.join(BENCHES)}, got 'speed'"):
        next(run(["speed"]))
