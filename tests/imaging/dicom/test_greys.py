"""Greys of files whose tables, windows and values are not what they are said to be."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.imaging.dicom.test_dicom import H, W, decode, film, item, ramp, save, stretch, table


def deep() -> NDArray[np.uint16]:
    """Draw a film of 12 bits with as many greys as there are columns times rows."""
    return (np.arange(H * W, dtype="u2") * (4095 // (H * W - 1))).reshape(H, W)


class TestOverstatedTables:
    @pytest.mark.parametrize(("bits", "said"), [(12, 16), (10, 16), (8, 16), (8, 12), (12, 14), (14, 16), (10, 12)])
    def test_a_table_that_states_too_many_bits_is_read_by_its_values(self, bits: int, said: int) -> None:
        curve = np.rint(np.linspace(0, 1, 4096) ** 2 * (2**bits - 1)).astype("u2")
        right = decode(film(deep(), VOILUTSequence=[table(0, bits, curve)]))
        shown = decode(film(deep(), VOILUTSequence=[table(0, said, curve)]))
        np.testing.assert_array_equal(shown.pixels, right.pixels)
        assert shown.flags == {"lut_bits_overstated"}
        assert not right.flags

    @pytest.mark.parametrize(("greatest", "said"), [(9000, 16), (30000, 16), (12000, 16), (3000, 12), (200, 8)])
    def test_a_table_may_stay_dark(self, greatest: int, said: int) -> None:
        curve = np.linspace(0, greatest, 4096).astype("u2")
        shown = decode(film(deep(), VOILUTSequence=[table(0, said, curve)]))
        assert shown.pixels.max() == pytest.approx(curve[deep().max()] / (2**said - 1), abs=1e-3)
        assert not shown.flags

    def test_a_table_whose_values_end_below_the_top_of_their_bits(self) -> None:
        curve = np.linspace(0, 3000, 4096).astype("u2")
        shown = decode(film(deep(), VOILUTSequence=[table(0, 16, curve)]))
        assert shown.pixels.max() == pytest.approx(curve[deep().max()] / 4095, abs=1e-3)
        assert shown.flags == {"lut_bits_overstated"}

    def test_a_modality_table_is_taken_by_its_values(self) -> None:
        lut = table(0, 16, np.arange(4096))
        lut.ModalityLUTType = "US"
        window = {"WindowCenter": "2048", "WindowWidth": "4096"}
        shown = decode(film(deep(), ModalityLUTSequence=[lut], **window))
        np.testing.assert_array_equal(shown.pixels, decode(film(deep(), **window)).pixels)

    def test_a_palette_that_states_too_many_bits(self) -> None:
        indices = ramp(0, 250, "u1")
        dataset = film(indices, PhotometricInterpretation="PALETTE COLOR")
        for colour in ("Red", "Green", "Blue"):
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", np.arange(256, dtype="<u2").tobytes())
        shown = decode(dataset)
        np.testing.assert_allclose(shown.pixels, indices / 255, atol=1e-6)
        assert shown.flags == {"colour", "lut_bits_overstated"}


class TestOneBadValue:
    @pytest.mark.parametrize(
        ("centre", "width"),
        [
            ("500\\", "1000\\"),
            ("500\\abc", "1000\\100"),
            ("\\500", "\\1000"),
            ("500\\3", "1000\\0"),
            ("inf\\500", "1\\1000"),
        ],
    )
    def test_the_first_window_that_is_one_is_used(self, centre: str, width: str) -> None:
        data = save(film(ramp(), WindowCenter="500", WindowWidth="1000"))
        shown = decode(_with(data, 0x00281050, centre, 0x00281051, width))
        np.testing.assert_array_equal(shown.pixels, decode(data).pixels)
        assert shown.flags == {"bad_value"}

    def test_a_window_that_is_none_gives_way_to_one_that_is(self) -> None:
        dataset = film(ramp(), WindowCenter=["200", "500"], WindowWidth=["0", "1000"])
        for window in (0, 1):
            right = decode(film(ramp(), WindowCenter="500", WindowWidth="1000")).pixels
            np.testing.assert_array_equal(decode(dataset, window=window).pixels, right)

    def test_a_table_that_is_none_gives_way_to_a_window(self) -> None:
        lut = item()
        lut.add_new("LUTDescriptor", "US", [4, 0])
        lut.add_new("LUTData", "OW", bytes(8))
        shown = decode(film(ramp(), WindowCenter="500", WindowWidth="1000", VOILUTSequence=[lut]))
        np.testing.assert_array_equal(shown.pixels, decode(film(ramp(), WindowCenter="500", WindowWidth="1000")).pixels)
        assert shown.flags == {"bad_value"}

    def test_of_several_slopes_the_first_that_is_one(self) -> None:
        window = {"WindowCenter": "500", "WindowWidth": "1000"}
        data = save(film(ramp(), RescaleSlope="1", RescaleIntercept="0", **window))
        shown = decode(_with(data, 0x00281052, "\\0", 0x00281053, "abc\\0\\1"))
        np.testing.assert_array_equal(shown.pixels, decode(data).pixels)
        assert shown.flags == {"bad_value"}

    @pytest.mark.parametrize(
        ("keyword", "value", "expected"),
        [
            ("NominalScannedPixelSpacing", ["0.2", "0.1"], (0.2, 0.1)),
            ("ImagerPixelSpacing", ["0", "0", "0.3", "0.4"], (0.3, 0.4)),
        ],
    )
    def test_spacing(self, keyword: str, value: list[str], expected: tuple[float, float]) -> None:
        assert decode(film(ramp(), **{keyword: value})).spacing_mm == expected


def _with(data: bytes, *changes: Any) -> bytes:
    """Write other text into elements of an explicit little endian file, two of them: tag, text, tag, text."""
    for tag, text in zip(changes[::2], changes[1::2], strict=True):
        value = text.encode() + b" " * (len(text) % 2)
        start = data.index(tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[3:1:-1] + b"DS")
        end = start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")
        data = data[: start + 6] + len(value).to_bytes(2, "little") + value + data[end:]
    return data


class TestWindowsThatShowNothing:
    @pytest.mark.parametrize(
        "window",
        [
            {"WindowCenter": "20000", "WindowWidth": "300"},
            {"WindowCenter": "-20000", "WindowWidth": "300"},
            {"WindowCenter": "32768", "WindowWidth": "65536"},  # nothing brighter than a sixteenth
            {"WindowCenter": "2048", "WindowWidth": "200000"},
            {"WindowCenter": "500.5", "WindowWidth": "1"},
            {"VOILUTSequence": [table(5000, 12, np.array([7, 4095]))]},
        ],
    )
    def test_the_films_own_range_is_used(self, window: dict[str, Any]) -> None:
        shown = decode(film(deep(), **window))
        np.testing.assert_array_equal(shown.pixels, decode(film(deep())).pixels)
        assert shown.flags == {"bad_window"}

    @pytest.mark.parametrize(
        ("centre", "width"), [("1000", "300"), ("3900", "500"), ("2048", "4096"), ("4000", "8000")]
    )
    def test_a_window_that_shows_some_of_it_is_the_makers_choice(self, centre: str, width: str) -> None:
        assert not decode(film(deep(), WindowCenter=centre, WindowWidth=width)).flags

    def test_a_film_without_greys_is_shown_as_the_file_says(self) -> None:
        mask = np.zeros((H, W), "u2")
        mask[3:6] = 1
        shown = decode(film(mask, WindowCenter="1", WindowWidth="1"))
        np.testing.assert_array_equal(shown.pixels, mask)
        assert not shown.flags


class TestColour16:
    def test_twelve_bits_in_sixteen_are_read_as_their_grey_twin(self) -> None:
        shown = decode(film(np.stack([deep()] * 3, axis=-1)))
        np.testing.assert_allclose(shown.pixels, decode(film(deep())).pixels, atol=1e-6)
        assert shown.flags == {"colour", "assumed_range"}

    @pytest.mark.parametrize("marker", [0, 65535])
    def test_a_marker_at_either_end_does_not_decide_the_greys(self, marker: int) -> None:
        grey = np.random.default_rng(1).integers(800, 4000, (80, 90)).astype("u2")
        grey[2:9, 3:20] = marker
        shown = decode(film(np.stack([grey] * 3, axis=-1)))
        np.testing.assert_allclose(shown.pixels, decode(film(grey)).pixels, atol=1e-6)
        assert len(np.unique(np.rint(shown.pixels[20:] * 255))) > 200


class TestRescale:
    @pytest.mark.parametrize(
        ("slope", "intercept"),
        [("0", "0"), ("1e300", "0"), ("1e-300", "0"), ("1", "1e30"), ("1", "-1e300"), ("1e30", "1e300"), ("1", "1e9")],
    )
    def test_one_that_leaves_no_values_is_ignored(self, slope: str, intercept: str) -> None:
        shown = decode(film(deep(), RescaleSlope=slope, RescaleIntercept=intercept))
        np.testing.assert_array_equal(shown.pixels, decode(film(deep())).pixels)
        assert shown.flags == {"bad_rescale", "no_window"}

    @pytest.mark.parametrize(("slope", "intercept"), [("1e-3", "0"), ("1e30", "0"), ("1", "-1024"), ("0.25", "1e5")])
    def test_one_that_keeps_them_apart_is_applied(self, slope: str, intercept: str) -> None:
        assert decode(film(deep(), RescaleSlope=slope, RescaleIntercept=intercept)).flags == {"no_window"}


def test_stretching_is_as_before() -> None:
    np.testing.assert_allclose(decode(film(ramp(3, 700))).pixels, stretch(ramp(3, 700)), atol=1e-6)
