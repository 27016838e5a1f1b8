"""Rules of thumb: every word is labelled, every rule is named."""

import pytest

from fracture.clinical.best_guess import LABEL, guess

FILM = (1000, 1000)


@pytest.mark.parametrize(
    ("box", "score", "kind", "severity"),
    [
        ((0, 0, 300, 100), 0.9, "transverse", "severe"),
        ((0, 0, 100, 300), 0.4, "transverse", "moderate"),
        ((0, 0, 90, 60), 0.9, "oblique", "moderate"),
        ((0, 0, 50, 50), 0.9, "comminuted or displaced", "mild"),
    ],
)
def test_rules(box, score, kind, severity):
    words = guess(box, score, FILM)
    assert words.fracture_type == f"{kind} ({LABEL})"
    assert words.severity == f"{severity} ({LABEL})"


def test_the_notes_name_the_rules_and_that_nothing_was_measured():
    notes = guess((0, 0, 300, 100), 0.9, FILM).notes
    assert "side ratio above 2 (3.00)" in notes
    assert "3.00%" in notes
    assert "not measured" in notes


def test_a_box_without_width_is_no_error():
    assert guess((5, 5, 5, 50), 0.5, FILM).fracture_type.startswith("transverse")
