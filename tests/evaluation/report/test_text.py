"""The report on a terminal: short, and it never hides what stands against a figure."""

from fracture.evaluation.report.text import text


def test_warnings_come_before_any_figure(report):
    report |= {"warnings": ["mind the gap"], "model_was_made_with": ["s/a", "s/b"]}
    lines = text(report).splitlines()
    assert lines[1] == "  ! NOT A TEST: the model was trained or its thresholds chosen on 2 of these films"
    assert lines[2] == "  ! mind the gap"


def test_figures_are_there_with_their_intervals(report):
    said = text(report)
    assert "667, 164 fractured, 486 groups; 10 left out" in said
    assert "AP50           0.521 (0.451 to 0.591)" in said
    assert "0.1: 0.550   0.25: 0.725" in said
    assert "calibrated     ECE 0.031, Brier 0.110   (as it comes: ECE 0.091)" in said
    assert "by study: 512, 120 fractured; AUC 0.871 (0.841 to 0.901)" in said
    assert "fractured / normal called fracture 60 / 7, doubt 43 / 81, no fracture 17 / 304" in said
    assert "target recall 0.9     0.034" in said


def test_films_are_counted_by_the_status_they_are_served_with(report):
    report["film"]["status"] = {
        "outside": {"fractured": 1, "normal": 4},
        "refused": {"fractured": 2, "normal": 0},
    }
    assert "  fractured / normal called outside 1 / 4, refused 2 / 0\n" in text(report)


def test_a_target_that_was_not_reached_says_so_at_its_threshold(report):
    lines = text(report).splitlines()
    [at] = [line for line in lines if line.strip().startswith("guaranteed recall")]
    assert at.endswith("  target not reached")
    assert sum("not reached" in line for line in lines) == 1


def test_slices_say_what_is_few_and_what_cannot_be_estimated(report):
    said = text(report)
    assert "region shoulder" in said
    assert "n=9, fewer than 20" in said
    assert "not estimable (no normal films)" in said


def test_the_comparison_gives_difference_and_p(report):
    said = text(report)
    assert "beside fracture_yolov8s on dataset_v5, the same 667 films" in said
    assert "0.861 against 0.842, difference 0.019 (-0.004 to 0.042)  p = 0.0004 (DeLong)" in said
    report["comparison"] |= {"paired": False, "films": None}
    assert "on dataset_v5, 667 other films" in text(report)


def test_without_thresholds_there_are_only_figures_that_need_none(report):
    report |= {"points": [], "comparison": None, "shortcuts": None, "study": None}
    said = text(report)
    assert "threshold" not in said
    assert "AUC" in said
