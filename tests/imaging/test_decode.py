"""Every kind of raster film decodes to what a viewer would show; everything else is a refusal."""

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageOps

from fracture.core.errors import (
    BrokenFilm,
    EmptyFile,
    FilmTooLarge,
    FractureError,
    NoPixels,
    SeveralFrames,
    TooCostly,
    UnsupportedFormat,
)
from fracture.core.types import Radiograph
from fracture.imaging.decode import decode, frames
from fracture.phantom import draw_film

# Pillow warns of everything that it skips in a broken header.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112


def noise(height=20, width=30, *, least=0, bits=8, seed=0):
    """Give pixels that reach both ends of their range; with ``least`` above 0 they are nowhere black."""
    values = np.random.default_rng(seed).integers(least, 2**bits, (height, width))
    values[0, :2] = 2**bits - 1, least
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def save(image, kind, **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def tiff(values, *, white_is_zero=False):
    """Give an uncompressed TIFF byte by byte: Pillow's writer turns white-is-zero films over by itself."""
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    (height, width), bits = values.shape, values.dtype.itemsize * 8
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8, 277: 1, 278: height}
    tags[279] = len(data)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def png_header(width, height):
    """Give a PNG that announces its size and holds next to nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")


def grey(film):
    return np.rint(film.pixels * 255).astype(np.uint8)


# --- what a file's numbers mean ---------------------------------------------------------------------------------------


def test_png_of_1_bit():
    values = noise() > 100
    film = decode(save(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(film.pixels, values.astype(np.float32))
    assert film.flags == {"low_contrast"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_8_bits_fill_the_range(kind):
    film = decode(save(noise(), kind))
    np.testing.assert_allclose(film.pixels, noise() / 255, atol=1e-7)
    assert (film.flags, film.size_px, film.harmonise_id) == (frozenset(), (30, 20), None)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_values_of_16_bits_keep_their_precision_and_are_read_over_their_own_range(kind, bits):
    values = noise(bits=bits).astype(np.uint16)
    film = decode(save(values, kind))
    expected = (values - values.min()) / np.ptp(values.astype(int))
    np.testing.assert_allclose(film.pixels, expected, atol=0.002)
    assert len(np.unique(film.pixels)) > 0.99 * len(np.unique(values))
    assert film.flags == {"assumed_range"}


def test_one_marker_and_one_hot_pixel_do_not_decide_the_greys_of_16_bits():
    plain = np.asarray(draw_film(np.random.default_rng(0), (373, 454), fractured=True)[0]).astype(np.uint16) * 16
    marked = plain.copy()
    marked[10:30, 10:40] = 65535
    marked[200, 200] = 4200
    for kind in ("PNG", "TIFF"):
        read, as_marked = (decode(save(values, kind)).pixels for values in (plain, marked))
        np.testing.assert_allclose(as_marked[40:200], read[40:200], atol=0.01)


def test_a_film_of_forty_greys_is_flagged():
    film = np.asarray(draw_film(np.random.default_rng(0), (373, 454), fractured=True)[0])
    assert decode(save(film, "PNG")).flags == frozenset()
    assert decode(save(np.rint(film / 255 * 40).astype(np.uint8), "PNG")).flags == {"low_contrast"}


def test_colour_becomes_luma():
    pixels = np.dstack([noise(seed=seed) for seed in (1, 2, 3)])
    film = decode(save(pixels, "PNG"))
    np.testing.assert_allclose(film.pixels, pixels @ [0.299, 0.587, 0.114] / 255, atol=0.6 / 255)
    assert film.flags == {"colour"}


def test_grey_saved_as_colour_is_the_same_grey():
    np.testing.assert_array_equal(grey(decode(save(np.dstack([noise()] * 3), "PNG"))), noise())


def test_palette():
    film = decode(save(Image.fromarray(noise()).convert("P"), "PNG"))
    np.testing.assert_array_equal(grey(film), noise())
    assert film.flags == {"colour"}


def test_a_transparent_palette_entry_is_air():
    image = Image.fromarray(noise(least=1)).convert("P")
    values = np.asarray(image.convert("L"))
    film = decode(save(image, "PNG", transparency=int(np.asarray(image)[3, 3])))
    np.testing.assert_array_equal(grey(film), np.where(values == values[3, 3], 0, values))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_over_black(mode):
    alpha = noise(seed=9)
    image = Image.fromarray(noise()).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    film = decode(save(image, "PNG"))
    np.testing.assert_allclose(film.pixels, noise() / 255 * (alpha / 255), atol=1.01 / 255)


def test_a_transparent_grey_is_air():
    film = decode(save(noise(least=1), "PNG", transparency=int(noise(least=1)[3, 3])))
    values = noise(least=1)
    np.testing.assert_array_equal(grey(film), np.where(values == values[3, 3], 0, values))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_that_stores_white_as_zero_is_turned_over(dtype):
    top = np.iinfo(dtype).max
    values = noise(bits=8 * dtype().itemsize)
    np.testing.assert_allclose(decode(tiff(values)).pixels, values / top, atol=1e-7)
    np.testing.assert_allclose(decode(tiff(values, white_is_zero=True)).pixels, 1 - values / top, atol=1e-7)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff(compression):
    np.testing.assert_array_equal(grey(decode(save(noise(), "TIFF", compression=compression))), noise())


@pytest.mark.parametrize(("gain", "offset"), [(1 / 510, 0), (7, -300)])
def test_a_float_tiff_is_read_over_its_own_range_and_flagged(gain, offset):
    film = decode(save(noise().astype(np.float32) * np.float32(gain) + np.float32(offset), "TIFF"))
    np.testing.assert_allclose(film.pixels, noise() / 255, atol=1e-6)
    assert film.flags == {"assumed_range"}


def test_nan_is_no_pixel_value():
    values = noise().astype(np.float32)
    values[2, 2] = np.nan
    with pytest.raises(BrokenFilm):
        decode(save(values, "TIFF"))


def test_a_cmyk_jpeg_keeps_bone_bright():
    film = decode(
        save(Image.fromarray(draw_film(np.random.default_rng(0), fractured=False)[0]).convert("CMYK"), "JPEG")
    )
    plain = draw_film(np.random.default_rng(0), fractured=False)[0] / 255
    assert film.flags == {"colour"}
    assert np.abs(film.pixels - plain).mean() < 0.02


# --- which way is up --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_tag_says(orientation):
    data = save(noise(), "JPEG", exif=turned(orientation))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    film = decode(data)
    np.testing.assert_array_equal(grey(film), np.asarray(upright))
    assert film.flags == (frozenset() if orientation == 1 else {"exif_rotated"})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "bits"), [("PNG", 8), ("PNG", 16), ("TIFF", 8), ("TIFF", 16)])
def test_other_formats_are_turned_the_same_way_and_once(kind, bits, orientation):
    values = noise(bits=bits)
    tag = {"tiffinfo": {ORIENTATION: orientation}} if kind == "TIFF" else {"exif": turned(orientation)}
    by_hand = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.T,
        6: values[::-1].T,
        7: values[::-1, ::-1].T,
        8: values.T[::-1],
    }
    film = decode(save(values, kind, **tag))
    np.testing.assert_allclose(film.pixels, by_hand[orientation] / (2**bits - 1), atol=1e-7)


# --- files that end early ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 90}), ("PNG", {}), ("JPEG", {"exif": turned(3)})])
def test_a_truncated_film_is_read_as_far_as_it_goes(kind, options):
    data = save(noise(240, 180, least=60), kind, **options)
    whole, cut = decode(data), decode(data[: int(len(data) * 0.7)])
    assert cut.flags == whole.flags | {"truncated"}
    assert cut.size_px == whole.size_px
    upright = slice(None, None, -1 if "exif" in options else 1)
    there, all_of_it = cut.pixels[upright], whole.pixels[upright]
    rows = int(np.flatnonzero(np.ptp(there, axis=1))[-1]) + 1
    intact = rows - 16  # a JPEG ends somewhere in a row of blocks
    assert 100 < intact < 200
    np.testing.assert_array_equal(there[:intact], all_of_it[:intact])
    assert np.ptp(there[rows:]) == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("tail", [0, 1, 100])
def test_a_film_cut_within_its_first_rows_is_broken(kind, tail):
    data = save(noise(240, 180, least=60), kind)
    start = data.index(b"\xff\xda") + 10 if kind == "JPEG" else data.index(b"IDAT") + 4
    with pytest.raises(BrokenFilm):
        decode(data[: start + tail])


def test_a_truncated_tiff_is_broken():
    data = save(noise(240, 180), "TIFF", compression="tiff_lzw")
    with pytest.raises(FractureError):
        decode(data[: len(data) // 2])


def test_threads_decode_as_one_would_alone():
    whole = [save(noise(200, 150, least=60, seed=seed), kind) for seed, kind in ((1, "JPEG"), (2, "PNG"))]
    files = [*whole, *(data[: int(len(data) * 0.6)] for data in whole)]
    alone = [decode(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode, files * 60))
    for index, film in enumerate(together):
        expected = alone[index % len(files)]
        assert film.flags == expected.flags
        np.testing.assert_array_equal(film.pixels, expected.pixels)


# --- several films in one file ----------------------------------------------------------------------------------------


def test_every_page_of_a_tiff_is_a_film():
    pages = [noise(seed=seed) for seed in range(3)]
    images = [Image.fromarray(page) for page in pages]
    data = save(images[0], "TIFF", save_all=True, append_images=images[1:])
    np.testing.assert_array_equal([grey(film) for film in frames(data)], pages)
    with pytest.raises(SeveralFrames):
        decode(data)


def test_pages_that_nobody_asks_for_cost_nothing():
    page = tiff(noise())
    directory = page[8 + noise().size : -4]
    ends = [len(page) + number * (len(directory) + 4) for number in range(20_000)]
    data = page[:-4] + b"".join(struct.pack("<I", end) + directory for end in ends) + bytes(4)
    started = time.perf_counter()
    assert len(list(islice(frames(data), 3))) == 3
    assert time.perf_counter() - started < 1


def test_a_broken_page_does_not_pass_for_the_end():
    films = frames(tiff(noise())[:-4] + struct.pack("<I", 9))
    next(films)
    with pytest.raises(BrokenFilm):
        next(films)


# --- what is no film --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", EmptyFile),
        (b"dear colleague, thank you for sending this patient\n" * 9, UnsupportedFormat),
        (b"<!DOCTYPE html><html><body>Log in to continue</body></html>", UnsupportedFormat),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", NoPixels),
        (save(noise(), "BMP"), UnsupportedFormat),
        (save(noise(), "GIF"), UnsupportedFormat),
        (b"\x00" * 4096, UnsupportedFormat),
        (PNG_SIGNATURE, BrokenFilm),
        (PNG_SIGNATURE + np.random.default_rng(0).bytes(500), BrokenFilm),
        (b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(500), BrokenFilm),
        (b"II*\x00\x08\x00\x00\x00" + np.random.default_rng(2).bytes(500), BrokenFilm),
        (b"MM\x00*\x00\x00\x00\x08" + np.random.default_rng(3).bytes(500), BrokenFilm),
    ],
)
def test_what_is_no_film_is_refused(data, refusal):
    with pytest.raises(refusal):
        decode(data)


def test_a_library_that_replaces_pillows_open_changes_nothing(monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    assert decode(save(noise(), "PNG")).size_px == (30, 20)
    with pytest.raises(UnsupportedFormat):
        decode(b"no film")


def test_a_film_of_no_width_is_broken():
    with pytest.raises(BrokenFilm):
        decode(png_header(0, 20))


@pytest.mark.parametrize("size", [(32_000, 32_000), (9_000, 9_000), (1, 2**31 - 1)])
def test_a_film_is_too_large_before_any_pixel_is_decoded(size):
    started = time.perf_counter()
    with pytest.raises(FilmTooLarge):
        decode(png_header(*size))
    assert time.perf_counter() - started < 1


def test_a_jpeg_may_not_announce_too_many_pixels_either():
    data = bytearray(save(noise(), "JPEG"))
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", 65_500, 65_500)
    with pytest.raises(FilmTooLarge):
        decode(bytes(data))


def scanned(times):
    """Give a progressive JPEG of so many scans, and of a comment that looks like more."""
    once = save(noise(), "JPEG", progressive=True, comment=b"\xff\xda\0\2" * 99)
    assert once.rindex(b"\xff\xda") > once.rindex(b"\xff\xc4")
    scan = once[once.rindex(b"\xff\xda") : -2]
    return once[:-2] + scan * (times - once.count(b"\xff\xda") + 99) + once[-2:]


def test_a_jpeg_may_not_be_gone_through_too_often():
    assert decode(scanned(64)).flags == decode(save(noise(), "JPEG", progressive=True)).flags
    assert decode(scanned(64) + b"\xff\xda\0\2" * 9).size_px == (30, 20)  # what lies behind its end is no scan
    for data in (scanned(65), scanned(9_999)):
        with pytest.raises(TooCostly, match="at most 64 scans"):
            decode(data)


def test_the_limit_is_the_callers():
    assert decode(save(noise(), "PNG"), max_pixels=600).size_px == (30, 20)
    with pytest.raises(FilmTooLarge, match="30 x 20"):
        decode(save(noise(), "PNG"), max_pixels=599)


def test_no_mutation_of_a_film_brings_anything_but_a_film_or_a_refusal():
    rng = np.random.default_rng(7)
    image = Image.fromarray(noise(40, 30))
    wide = Image.fromarray(noise(40, 30, bits=16))
    seeds = [
        save(image, "PNG", exif=turned(6)),
        save(wide, "PNG"),
        save(image.convert("P"), "PNG", transparency=3),
        save(image, "JPEG", exif=turned(6)),
        save(image, "JPEG", progressive=True),
        save(image.convert("CMYK"), "JPEG"),
        save(image, "TIFF"),
        save(wide, "TIFF", compression="tiff_adobe_deflate"),
        save(image, "TIFF", save_all=True, append_images=[image]),
    ]
    came = set()
    for attempt in range(270):
        data = bytearray(seeds[attempt % len(seeds)])
        if rng.random() < 0.4:
            del data[int(rng.integers(1, len(data))) :]
        if rng.random() < 0.8:
            # Half of the bites go into the header, where they do more.
            reach = len(data) if rng.random() < 0.5 else min(len(data), 120)
            for place in rng.integers(reach, size=rng.integers(1, 12)):
                data[place] = rng.integers(256)
        try:
            came |= {type(film) for film in frames(bytes(data))}
        except FractureError as refusal:
            came.add(type(refusal))
    assert came >= {Radiograph, BrokenFilm, UnsupportedFormat}
