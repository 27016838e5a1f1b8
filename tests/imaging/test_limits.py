"""What a header may announce."""

import pytest

from fracture.core.errors import FilmTooLarge
from fracture.imaging.decode import decode
from fracture.imaging.limits import check_size
from tests.hostile.dicom import dicom, us


def test_frames_count_together():
    check_size(1000, 1000, 3_000_000, 3)
    with pytest.raises(FilmTooLarge, match="at most 3000000 pixels, the header announces 1000 x 1000 in 4 frames"):
        check_size(1000, 1000, 3_000_000, 4)


@pytest.mark.parametrize("size", [(1, 30_000_000), (30_000_000, 1), (50, 1_000_000), (1, 10_001)])
def test_a_strip_is_no_film(size):
    with pytest.raises(FilmTooLarge, match="times the short one"):
        check_size(*size, 64_000_000)


@pytest.mark.parametrize("size", [(1, 1), (1, 9_999), (3000, 200), (800, 60_000)])
def test_long_films_are_films(size):
    check_size(*size, 64_000_000)


def test_a_strip_of_dicom_is_refused_from_its_header():
    with pytest.raises(FilmTooLarge, match="times the short one"):
        decode(dicom(Rows=us(65535), Columns=us(1)))
