"""PNG and JPEG: colour keeps its bits, what is not read is named, and no library's log is touched."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fracture.core.errors import BrokenFilm, FilmTooLarge, UnsupportedFormat
from fracture.imaging.decode import decode, frames
from fracture.imaging.greys import unstated

HEIGHT, WIDTH = 40, 50


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(values, *more, interlaced=False):
    """Write a PNG of 16 bits, byte by byte: no writer here keeps all kinds of them."""
    height, width = values.shape[:2]
    colour = {1: 0, 3: 2, 2: 4, 4: 6}[values[0, 0].size]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, interlaced)
    starts = [(0, 0, 1, 1)]
    if interlaced:
        starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, across, down in starts:
        part = values[y::down, x::across].astype(">u2")
        rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND")
    )


def wide(count=1, bits=16, seed=0):
    values = np.random.default_rng(seed).integers(1, 1 << bits, (HEIGHT, WIDTH, count)).astype(np.uint16)
    values[0, 0] = (1 << bits) - 1
    return values if count > 1 else values[..., 0]


def luma(colours):
    return (colours.astype(np.uint64) @ np.array([19595, 38470, 7471], np.uint64) + 0x8000) >> 16


def jpeg(values, **options):
    out = io.BytesIO()
    Image.fromarray(values).save(out, "JPEG", **options)
    return out.getvalue()


def smooth():
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows * 3 + columns * 2).astype(np.uint8)


# --- colour of 16 bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_grey_of_many_bits_saved_as_colour_is_the_same_grey(count, bits, interlaced):
    grey = wide(bits=bits)
    opaque = np.full_like(grey, 0xFFFF)
    values = np.dstack([grey] * (3 if count > 2 else 1) + [opaque] * (count % 2 == 0))
    film, plain = decode(png16(values, interlaced=interlaced)), decode(png16(grey))
    np.testing.assert_array_equal(film.pixels, plain.pixels)
    assert film.flags == plain.flags | ({"colour"} if count > 2 else set())


def test_colour_of_16_bits_becomes_luma_of_16():
    values = wide(3)
    np.testing.assert_array_equal(decode(png16(values)).pixels, decode(png16(luma(values))).pixels)


@pytest.mark.parametrize("count", [2, 4])
def test_transparency_of_16_bits_is_laid_over_black(count):
    values = wide(count)
    values[5:9, 5:9, -1] = 0
    over = (values[..., :-1].astype(np.uint64) * values[..., -1:] + 32767) // 65535
    expected = over[..., 0] if count == 2 else luma(over)
    film = decode(png16(values))
    clear = values[..., -1] == 0
    np.testing.assert_array_equal(film.pixels, np.where(clear, 0, unstated(expected, clear)))
    assert not film.pixels[5:9, 5:9].any()


def test_the_value_that_stands_for_transparent_is_air():
    grey, colours = wide(), wide(3)
    film = decode(png16(grey, chunk(b"tRNS", struct.pack(">H", grey[3, 3]))))
    clear = grey == grey[3, 3]
    np.testing.assert_array_equal(film.pixels, np.where(clear, 0, unstated(grey, clear)))
    film = decode(png16(colours, chunk(b"tRNS", struct.pack(">3H", *colours[3, 3]))))
    clear = (colours == colours[3, 3]).all(axis=-1)
    np.testing.assert_array_equal(film.pixels, np.where(clear, 0, unstated(luma(colours), clear)))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_truncated_colour_of_16_bits_is_read_as_far_as_it_goes(count):
    values = np.repeat(wide(count), 6, axis=0)
    values[..., -1] |= 1
    data = png16(values)
    whole, cut = decode(data), decode(data[: len(data) * 7 // 10])
    assert cut.flags == whole.flags | {"truncated"}
    rows = int(np.flatnonzero(np.ptp(cut.pixels, axis=1))[-1])
    assert 100 < rows < 200
    np.testing.assert_allclose(cut.pixels[:rows], whole.pixels[:rows], atol=0.02)  # each from the range it shows


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_colour_of_16_bits_is_turned(count, orientation):
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0" + bytes([orientation]) + bytes(6)
    values = wide(count)
    film = decode(png16(values, chunk(b"eXIf", exif)))
    times = {3: 2, 6: -1, 8: 1}[orientation]
    np.testing.assert_array_equal(film.pixels, np.rot90(decode(png16(values)).pixels, times))
    assert "exif_rotated" in film.flags


# --- JPEG -------------------------------------------------------------------------------------------------------------


def test_what_comes_behind_the_first_picture_of_a_jpeg_is_no_film():
    film, thumbnail = smooth(), smooth()[::4, ::4].copy()
    out = io.BytesIO()
    Image.fromarray(film).save(out, "MPO", save_all=True, append_images=[Image.fromarray(thumbnail)])
    assert [one.size_px for one in frames(out.getvalue())] == [(WIDTH, HEIGHT)]


ODD_CHUNKS = {
    "gAMA": b"",
    "sRGB": b"",
    "pHYs": b"\0",
    "cHRM": b"\0",
    "tRNS": b"",
    "eXIf": b"\xff",
    "zTXt": b"a\0\0" + zlib.compress(bytes(5_000_000)),
}


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("kind", ODD_CHUNKS)
def test_an_odd_chunk_that_pixels_do_not_depend_on_costs_no_film(kind, count):
    if kind == "tRNS" and count == 4:
        pytest.skip("transparency of its own and tRNS exclude each other")
    values = wide(count)
    odd, plain = (decode(png16(values, *more)) for more in ([chunk(kind.encode(), ODD_CHUNKS[kind])], []))
    np.testing.assert_array_equal(odd.pixels, plain.pixels)
    assert odd.flags == plain.flags


def test_what_stands_beside_an_odd_chunk_is_kept():
    values = wide()
    exif = Image.Exif()
    exif[0x0112] = 6
    mark = chunk(b"tEXt", b"fracture:harmonise_id\0h1-0123456789ab")
    film = decode(png16(values, chunk(b"pHYs", b"\0"), mark, chunk(b"eXIf", exif.tobytes()[6:])))
    np.testing.assert_array_equal(film.pixels, np.rot90(decode(png16(values)).pixels, -1))
    assert film.harmonise_id == "h1-0123456789ab"


def test_a_film_with_an_odd_chunk_that_ends_early_is_read_as_far_as_it_goes():
    data = png16(wide(), chunk(b"pHYs", b"\0"))
    film = decode(data[: len(data) * 3 // 4])
    assert "truncated" in film.flags


def test_the_identifiers_r_g_and_b_say_what_the_components_are():
    colours = np.dstack([smooth(), smooth()[::-1], smooth()[:, ::-1]])
    data = jpeg(colours, quality=98, subsampling=0, keep_rgb=True)
    expected = np.asarray(Image.fromarray(colours).convert("L")) / 255
    assert data[data.index(b"\xff\xc0") + 10] == ord("R")
    for marker in (b"\xff\xe0", b"\xff\xee"):
        if (at := data.find(marker)) > 0:
            data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    np.testing.assert_allclose(decode(data).pixels, expected, atol=4 / 255)


def test_a_jpeg_called_extended_is_read():
    data = jpeg(smooth(), quality=98)
    extended = data.replace(b"\xff\xc0", b"\xff\xc1", 1)
    np.testing.assert_array_equal(decode(extended).pixels, decode(data).pixels)
    scan = extended.index(b"\xff\xda")
    odd = bytearray(extended)
    odd[scan + 2 + int.from_bytes(odd[scan + 2 : scan + 4]) - 2] = 0  # Se, which some leave at 0
    np.testing.assert_array_equal(decode(bytes(odd)).pixels, decode(data).pixels)


def test_inks_of_a_jpeg_are_what_adobe_means_by_them():
    colours = np.dstack([smooth(), smooth()[::-1], smooth()[:, ::-1]])
    out = io.BytesIO()
    Image.fromarray(colours).convert("CMYK").save(out, "JPEG", quality=98)
    expected = np.asarray(Image.fromarray(colours).convert("L")) / 255
    np.testing.assert_allclose(decode(out.getvalue()).pixels, expected, atol=6 / 255)


# --- what is not read is named ----------------------------------------------------------------------------------------


def reframed(process=None, bits=None):
    data = bytearray(jpeg(smooth()))
    at = data.index(b"\xff\xc0")
    data[at + 1] = process or data[at + 1]
    data[at + 4] = bits or data[at + 4]
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (reframed(bits=12), "12"),
        (reframed(process=0xC1, bits=12), "12"),
        (reframed(process=0xC3, bits=16), "16"),
        (reframed(process=0xC5), "hierarchical"),
        (b"\xff\xd8\xff\xf7\0\x0b\x10\0\x10\0\x10\1\1\x11\0" + bytes(99), "JPEG-LS"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "JPEG 2000"),
        (b"\xff\x4f\xff\x51" + bytes(99), "JPEG 2000"),
        (b"\xff\x0a" + bytes(99), "JPEG XL"),
        (b"BM" + bytes(99), "BMP"),
        (b"GIF89a" + bytes(99), "GIF"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(99), "WebP"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC"),
        (b"\0\0\0\x18ftypavif" + bytes(99), "AVIF"),
        (b"\x5c\1\0\0" + bytes(340) + b"n+1\0", "NIfTI"),
        (b"NRRD0004\n" + bytes(99), "NRRD"),
        (b"ObjectType = Image\n" + bytes(99), "MetaImage"),
        (b"PK\3\4" + bytes(99), "zip"),
        (b"\x1f\x8b\x08" + bytes(99), "gzip"),
        (b"P5\n3 2\n255\n" + bytes(6), "PNM"),
        (b"8BPS\0\1" + bytes(99), "Photoshop"),
    ],
)
def test_what_is_not_read_is_named(data, words):
    with pytest.raises(UnsupportedFormat, match=words):
        decode(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (jpeg(smooth())[:100], "SOF"),
        (jpeg(smooth())[: jpeg(smooth()).index(b"\xff\xda")], "SOS"),
        (png16(wide())[:60], "IDAT"),
        (png16(wide())[:20], "IHDR"),
        (png16(wide()).replace(b"IDAT", b"idAT"), "IDAT"),
    ],
)
def test_what_a_broken_film_lacks_is_named(data, words):
    with pytest.raises(BrokenFilm, match=words):
        decode(data)


def test_a_strip_is_refused_from_its_header():
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000_000, 1, 8, 0, 0, 0, 0))
    with pytest.raises(FilmTooLarge, match="times the short one"):
        decode(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT"))


# --- other people's logs ----------------------------------------------------------------------------------------------


def test_no_tag_of_a_film_reaches_a_log_and_others_keep_theirs(caplog):
    caplog.set_level(logging.DEBUG)
    exif = Image.Exif()
    exif[0x010E] = "PLANTED^Jane"
    for kind in ("JPEG", "PNG"):
        out = io.BytesIO()
        Image.fromarray(smooth()).save(out, kind, exif=exif)
        caplog.clear()
        decode(out.getvalue())
        assert not caplog.records
        with Image.open(out) as image:
            image.getexif().get_ifd(0x8769)
        assert any("PLANTED" in record.getMessage() for record in caplog.records)
    assert logging.getLogger("PIL").level == logging.NOTSET
    assert logging.getLogger(TiffImagePlugin.__name__).isEnabledFor(logging.DEBUG)
