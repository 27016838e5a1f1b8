"""Mutated streams inside DICOM, all in one run of inference.py; thousands of them are `make abuse`."""

from collections import Counter

import numpy as np
import pytest

from fracture.imaging.decode import decode
from tests.hostile.batch import abuse_batch, checked
from tests.hostile.case import OK
from tests.hostile.streams import KINDS, good, mutation

REFUSED = b'{"path": "films/b", "error": {"code": "broken_film", "reason": "it ends"}}\n'
READ = b'{"path": "films/a", "detections": []}\n'


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mutated_is_a_film_before(kind: str) -> None:
    for film in good(kind):
        assert np.ptp(decode(film, any_modality=True).pixels) > 0.3


def test_a_seed_gives_the_same_bytes_for_ever() -> None:
    assert mutation(7) == mutation(7)
    made = [mutation(seed) for seed in range(200)]
    assert Counter(kind for kind, _ in made) == dict.fromkeys(KINDS, 50)
    assert len({data for _, data in made}) > 190


def test_one_run_reads_or_refuses_every_one_of_them(tmp_path) -> None:
    outcome = abuse_batch(range(80), tmp_path)
    assert outcome.faults == []
    assert outcome.answers.total() == 80
    assert 10 < outcome.answers[OK] < 70  # wrong enough, and not too wrong to be looked at


@pytest.mark.parametrize(
    ("code", "lines", "said", "fault"),
    [
        (0, READ + REFUSED, b"", "ended with 0"),
        (-11, READ, b"", "ended with -11"),
        (0, READ, b"", "1 lines for 2 films"),
        (1, REFUSED + READ, b"", "another order"),
        (1, READ + REFUSED, b"Traceback (most recent call last)", "tells of an error"),
        (1, READ + REFUSED, b"PLANTED^Jane", "planted"),
    ],
)
def test_what_must_not_be_is_told(code: int, lines: bytes, said: bytes, fault: str) -> None:
    assert checked(["a", "b"], 1, READ + REFUSED, b"").faults == []
    assert any(fault in told for told in checked(["a", "b"], code, lines, said).faults)
