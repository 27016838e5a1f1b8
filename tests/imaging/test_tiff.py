"""Every layout of a TIFF is decoded to what another writer stored, or refused by the name of what is not read."""

import io
import struct
from itertools import islice

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fracture.core.errors import BrokenFilm, FilmTooLarge, FractureError, NoPixels, TooCostly, UnsupportedFormat
from fracture.imaging.decode import decode, frames
from fracture.imaging.tiff import tiff_pages

HEIGHT, WIDTH = 37, 45
PACKED = [("lzw", 5), ("zlib", 8), ("packbits", 32773), ("zstd", 50000), ("lzma", 34925)]
GEOMETRIES = [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}]


def samples(dtype, count=1, seed=0):
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    shape = (HEIGHT, WIDTH, count)
    if dtype.kind == "f":
        values = rng.random(shape).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return values if count > 1 else values[..., 0]


def written(values, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, values, metadata=None, **options)
    return out.getvalue()


def native(data):
    (page,) = tiff_pages(data, 10**6)
    return page


def luma(colours):
    if colours.dtype.kind == "f":
        return colours.astype(np.float64) @ [0.299, 0.587, 0.114]
    red, green, blue = (colours[..., at].astype(np.uint64) for at in range(3))
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def tiff(changes=None, data=bytes(range(256)) * 8, *, order="<", tail=b""):
    """Write (32, 64) of 8 bits in one strip, entry by entry: what no writer would."""
    tags = {256: 64, 257: 32, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 32, 279: len(data), **(changes or {})}
    entries = [
        struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()) if value is not None
    ]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + tail + bytes(4)


# --- layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("big", [False, True], ids=["", "BigTIFF"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white", ["minisblack", "miniswhite"])
def test_every_type_of_sample(dtype, order, big, white):
    values = samples(dtype)
    for geometry in GEOMETRIES:
        page = native(written(values, byteorder=order, bigtiff=big, photometric=white, **geometry))
        np.testing.assert_array_equal(page.values, values)
        assert (page.white_is_zero, page.colour) == (white == "miniswhite", False)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize(("name", "number"), PACKED)
@pytest.mark.parametrize("predictor", [False, True])
def test_every_compression(dtype, name, number, predictor):
    if predictor and name == "packbits":
        pytest.skip("PackBits knows no predictor")
    for order in "<>":
        for geometry in GEOMETRIES:
            values = samples(dtype, 3)
            options = {"compression": name, "predictor": predictor, "byteorder": order, "photometric": "rgb"}
            data = written(values, **options, **geometry)
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                assert file.pages[0].compression == number
            tolerance = 1e-3 if dtype == "f2" else 1e-6
            np.testing.assert_allclose(native(data).values, luma(values), rtol=tolerance if dtype[0] == "f" else 0)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["rgb", "rgba", "premultiplied", "unspecified", "cmyk", "grey and alpha"])
def test_every_kind_of_colour_keeps_its_bits(dtype, planes, kind):
    count, photometric, extra = {
        "rgb": (3, "rgb", []),
        "rgba": (4, "rgb", ["unassalpha"]),
        "premultiplied": (4, "rgb", ["assocalpha"]),
        "unspecified": (4, "rgb", ["unspecified"]),
        "cmyk": (4, "separated", []),
        "grey and alpha": (2, "minisblack", ["unassalpha"]),
    }[kind]
    values, top = samples(dtype, count), int(np.iinfo(dtype).max)
    exact = values.astype(object)  # Python's whole numbers, which never overflow
    if kind in {"rgba", "grey and alpha"}:
        exact = (exact * exact[..., -1:] + top // 2) // top
    elif kind == "cmyk":
        black = top - exact[..., 3:]
        exact = black - (exact[..., :3] * black + top // 2) // top
    expected = exact[..., 0] if kind == "grey and alpha" else luma(exact.astype(np.uint64))
    stored = values if planes == "contig" else np.ascontiguousarray(np.moveaxis(values, -1, 0))
    for geometry in GEOMETRIES:
        data = written(stored, photometric=photometric, planarconfig=planes, extrasamples=extra, **geometry)
        page = native(data)
        np.testing.assert_array_equal(page.values, expected.astype(dtype))
        assert page.colour == (kind != "grey and alpha")
        if kind in {"rgba", "premultiplied", "grey and alpha"}:
            np.testing.assert_array_equal(page.absent, values[..., -1] == 0)


@pytest.mark.parametrize("dtype", ["u2", "u4", "f4"])
def test_a_detectors_12_bits_in_colour_are_the_same_film_as_in_grey(dtype):
    grey = (samples("u2") >> 4).astype(dtype) / (1 if dtype != "f4" else np.float32(4095))
    colour = np.dstack([grey] * 3)
    plain = decode(written(grey, photometric="minisblack"))
    for planes, stored in (("contig", colour), ("separate", np.ascontiguousarray(np.moveaxis(colour, -1, 0)))):
        film = decode(written(stored, photometric="rgb", planarconfig=planes))
        np.testing.assert_allclose(film.pixels, plain.pixels, atol=1e-6)
        assert film.flags == plain.flags | {"colour"}


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_packed_bits_state_where_their_range_ends(bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, (32, 45))
    values[0, 0] = 0
    rows = [np.unpackbits(row.astype(">u2").view("u1")).reshape(-1, 16)[:, -bits:].ravel() for row in values]
    data = np.packbits(np.array(rows), axis=1).tobytes()
    film = decode(tiff({256: 45, 258: bits}, data))
    np.testing.assert_allclose(film.pixels, values / (2**bits - 1), atol=1e-6)
    assert film.flags <= {"low_contrast"}


@pytest.mark.parametrize("compression", [1, 5, 32773])
def test_bits_that_are_stored_the_other_way_round(compression):
    plain = bytes(range(256)) * 8
    packed = {1: bytes, 5: imagecodecs.lzw_encode, 32773: imagecodecs.packbits_encode}[compression](plain)
    turned = bytes(imagecodecs.bitorder_decode(packed))
    right, other = (decode(tiff({259: compression, **more}, data)) for more, data in (({}, packed), ({266: 2}, turned)))
    np.testing.assert_array_equal(other.pixels, right.pixels)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_codings(compression):
    values = samples("u1") > 200
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF", compression=compression)
    np.testing.assert_array_equal(decode(out.getvalue()).pixels, values.astype(np.float32))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "jpeg"])
def test_8_bits_are_read_to_the_bit_as_pillow_reads_them(mode, compression):
    values = samples("u1", 3)
    image = {"P": Image.fromarray(values).quantize(200), "1": Image.fromarray(values[..., 0] > 99)}.get(
        mode, Image.fromarray(values).convert(mode)
    )
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(samples("u1", seed=5)))
    if compression == "jpeg" and mode in {"P", "1", "RGBA", "CMYK"}:
        pytest.skip("Pillow writes no such JPEG inside a TIFF")
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression)
    with Image.open(out) as opened:
        read = opened.convert("RGBA") if mode.endswith("A") else opened
        if mode.endswith("A"):
            read = Image.alpha_composite(Image.new("RGBA", read.size, (0, 0, 0, 255)), read).convert("RGB")
        expected = np.asarray(read.convert("L"))
    np.testing.assert_array_equal(np.rint(decode(out.getvalue()).pixels * 255), expected)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
@pytest.mark.parametrize("geometry", [{}, {"tile": (16, 32)}, {"rowsperstrip": 16}])
def test_the_page_says_what_the_colours_of_jpeg_inside_are(photometric, geometry):
    values = samples("u1", 3)
    data = written(values, photometric=photometric, compression="jpeg", **geometry)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(native(data).values, expected)


def test_palettes_of_8_bits_where_16_are_due():
    colours = np.tile(np.arange(256, dtype=np.uint16), (3, 1))
    indices = samples("u1")
    for table in (colours, colours << 8, colours * 257):
        film = decode(written(indices, photometric="palette", colormap=table))
        np.testing.assert_array_equal(np.rint(film.pixels * 255), indices)


@pytest.mark.parametrize("kind", ["u2 grey", "u2 rgb", "u1 rgb", "f4 grey"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_of_all_depths_are_turned_as_their_tag_says(kind, orientation):
    dtype, colour = kind.split()
    values = samples(dtype, 3 if colour == "rgb" else 1)
    options = {"photometric": "rgb" if colour == "rgb" else "minisblack"}
    upright = decode(written(values, **options)).pixels
    film = decode(written(values, extratags=[(274, "H", 1, orientation, True)], **options))
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright[::-1].T,
        7: upright[::-1, ::-1].T,
        8: upright.T[::-1],
    }
    np.testing.assert_array_equal(film.pixels, turned[orientation])
    assert ("exif_rotated" in film.flags) == (orientation > 1)


# --- pages that are no films of their own -----------------------------------------------------------------------------


def study(*pages):
    """Write pages of (values, NewSubfileType); masks are of 1 bit."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for values, kind in pages:
            page = values > 99 if kind & 4 else values
            writer.write(page, subfiletype=kind, metadata=None, photometric="minisblack")
    return out.getvalue()


@pytest.mark.parametrize("kind", [1, 4, 5])
@pytest.mark.parametrize("before", [False, True])
def test_thumbnails_pyramid_levels_and_masks_are_no_films(kind, before):
    film, small = samples("u1"), samples("u1")[::4, ::4].copy()
    others = [(small, kind), (small[::2, ::2].copy(), kind)]
    data = study(*(others if before else []), (film, 0), *([] if before else others))
    np.testing.assert_array_equal(np.rint(decode(data).pixels * 255), film)


def test_levels_in_subifds_are_no_films():
    film = samples("u1")
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(film, subifds=2, metadata=None, photometric="minisblack")
        for step in (2, 4):
            writer.write(film[::step, ::step].copy(), subfiletype=1, metadata=None, photometric="minisblack")
    np.testing.assert_array_equal(np.rint(decode(out.getvalue()).pixels * 255), film)


@pytest.mark.parametrize("changes", [{255: 2}, {262: 4, 258: 1}])
def test_the_old_subfile_type_and_transparency_masks_count_too(changes):
    page = tiff()
    other = tiff(changes)[8 + 2048 :]  # its offsets hold for the first page's pixels
    film = decode(page[:-4] + struct.pack("<I", len(page)) + other)
    assert film.size_px == (64, 32)


def test_pages_of_a_study_stay_films():
    data = study((samples("u1"), 0), (samples("u1", seed=1), 2), (samples("u1")[::4, ::4].copy(), 1))
    assert len(list(frames(data))) == 2


def anatomy(seed=0):
    """Draw a film large enough to have smaller copies, as smooth as films are."""
    coarse = np.random.default_rng(seed).normal(size=(9, 7)).astype(np.float32)
    film = cv2.resize(coarse, (280, 360), interpolation=cv2.INTER_CUBIC)
    return np.rint((film - film.min()) / np.ptp(film) * 255).astype(np.uint8)


def shrunk(film, way, step):
    height, width = film.shape
    return cv2.resize(film, (width // step, height // step), interpolation=way)


@pytest.mark.parametrize("way", [cv2.INTER_AREA, cv2.INTER_LINEAR])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_smaller_copies_that_do_not_say_so_are_no_films(way, first, colour):
    film = anatomy()
    levels = [shrunk(film, way, step) for step in (3, 4, 8)]
    if colour:
        levels = [np.repeat(level[..., None], 3, axis=-1) for level in levels]
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for page in (*levels[:2], film, levels[2]) if first else (film, *levels):
            tile = {"tile": (64, 64)} if page.shape[0] > 64 else {}
            writer.write(page, photometric="minisblack" if page.ndim == 2 else "rgb", metadata=None, **tile)
    np.testing.assert_array_equal(np.rint(decode(out.getvalue()).pixels * 255), film)


@pytest.mark.parametrize(
    "other",
    [
        shrunk(anatomy(1), cv2.INTER_AREA, 2),
        shrunk(anatomy()[:, ::-1].copy(), cv2.INTER_AREA, 2),
        shrunk(np.roll(anatomy(), 40, axis=0), cv2.INTER_AREA, 2),
        shrunk(anatomy(), cv2.INTER_AREA, 2)[:-40].copy(),
        np.zeros((180, 140), np.uint8),
        anatomy(),
    ],
    ids=["another", "mirrored", "moved", "cropped", "blank", "as large"],
)
def test_smaller_films_that_show_something_else_stay_films(other):
    assert len(list(frames(study((anatomy(), 0), (other, 0))))) == 2


@pytest.mark.parametrize("changes", [{279: 0}, {279: 1 << 20}, {278: 0}])
def test_odd_counts_cost_no_film_where_what_is_needed_is_known(changes):
    np.testing.assert_array_equal(decode(tiff(changes)).pixels, decode(tiff()).pixels)


def test_a_lone_page_is_a_film_whatever_it_calls_itself():
    assert decode(study((samples("u1"), 1))).size_px == (WIDTH, HEIGHT)
    with pytest.raises(NoPixels, match="reduced copies or masks"):
        decode(study((samples("u1"), 1), (samples("u1")[::2].copy(), 1)))
    with pytest.raises(UnsupportedFormat, match="raw picture"):
        decode(tiff({254: 1, 330: 8}))


# --- refusals that name what it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "refusal", "words"),
    [
        ({256: None}, BrokenFilm, "no ImageWidth"),
        ({262: None}, BrokenFilm, "no PhotometricInterpretation"),
        ({273: None}, BrokenFilm, "StripOffsets"),
        ({259: 32773, 279: 1 << 20}, BrokenFilm, "more bytes than the file"),
        ({273: 1 << 20}, BrokenFilm, "ends before its last row"),
        ({279: 99}, BrokenFilm, "ends before its last row"),
        ({258: 16}, BrokenFilm, "ends before its last row"),
        ({259: 5}, BrokenFilm, "cannot be decompressed|ends before its last row"),
        ({259: 34712}, UnsupportedFormat, "JPEG 2000"),
        ({259: 6}, UnsupportedFormat, "JPEG of TIFF 6.0's first kind"),
        ({259: 12345}, UnsupportedFormat, "12345"),
        ({262: 8, 277: 3}, UnsupportedFormat, "CIELab"),
        ({262: 32803}, UnsupportedFormat, "colour filter array"),
        ({258: 24}, UnsupportedFormat, "24-bit unsigned"),
        ({258: 64, 339: 6}, UnsupportedFormat, "64-bit complex"),
        ({317: 2}, UnsupportedFormat, "predictor"),
        ({259: 8, 317: 3}, UnsupportedFormat, "predictor 3"),
        ({262: 6, 277: 3}, UnsupportedFormat, "subsampled YCbCr"),
        ({262: 5, 277: 4, 332: 2}, UnsupportedFormat, "inks other than CMYK"),
        ({262: 3}, BrokenFilm, "ColorMap"),
        ({262: 3, 320: 0x10000}, BrokenFilm, "values up to 65535"),
        ({258: 1, 259: 3, 292: 0xFFFFFFFF}, BrokenFilm, "cannot be decompressed"),
        ({277: 9}, BrokenFilm, "samples a pixel"),
        ({284: 3}, BrokenFilm, "PlanarConfiguration"),
        ({256: 9000, 257: 9000}, FilmTooLarge, "9000 x 9000"),
        ({256: 30_000_000, 257: 1}, FilmTooLarge, "30000000 x 1"),
        ({324: 8, 325: 2048, 322: 60_000, 323: 60_000}, FilmTooLarge, "tiles"),
    ],
)
def test_what_is_not_read_is_named(changes, refusal, words):
    with pytest.raises(refusal, match=words):
        decode(tiff(changes))


def test_a_strip_that_is_cut_is_named():
    data = written(samples("u2"), rowsperstrip=10, compression="zlib")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[0].dataoffsets[2]
    with pytest.raises(BrokenFilm, match="strip 3 of 4 of page 1"):
        decode(data[:start] + b"\xff" * 9 + data[start + 9 :])


@pytest.mark.parametrize(("name", "number"), PACKED)
def test_no_cut_or_damaged_strip_passes_for_a_whole_one(name, number):
    data = written(samples("u1"), compression=name)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        size = file.pages[0].databytecounts[0]
        counts = file.pages[0].tags[279].offset + 8
    for less in (1, size // 2, size - 1):
        lie = bytearray(data)
        struct.pack_into("<I", lie, counts, size - less)
        try:
            film = decode(bytes(lie))
        except FractureError:
            continue
        np.testing.assert_array_equal(np.rint(film.pixels * 255), samples("u1"))  # no more than a checksum was cut off


# --- what costs more than a film --------------------------------------------------------------------------------------


def test_strips_that_lie_over_one_another_cost_nothing():
    count = 4000
    body = imagecodecs.zlib_encode(bytes(64)) + bytes(10_000)
    places, sizes = struct.pack("<I", 8) * count, struct.pack("<I", len(body)) * count
    end = 8 + len(body)
    entry = struct.Struct("<HHII").pack
    tags = [entry(256, 4, 1, 64), entry(257, 4, 1, count), entry(258, 4, 1, 8), entry(259, 4, 1, 8)]
    tags += [
        entry(262, 4, 1, 1),
        entry(273, 4, count, end),
        entry(278, 4, 1, 1),
        entry(279, 4, count, end + len(places)),
    ]
    data = b"II*\0" + struct.pack("<I", end + 2 * len(places)) + body + places + sizes
    data += struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    with pytest.raises(BrokenFilm, match="more bytes than the file"):
        decode(data)


def test_pages_without_number_are_too_costly():
    page = tiff({254: 1})
    directory = page[8 + 2048 : -4]
    size = len(page)
    ends = [size + number * (len(directory) + 4) for number in range(1500)]
    data = page[:-4] + b"".join(struct.pack("<I", end) + directory for end in ends) + bytes(4)
    with pytest.raises(TooCostly, match="reduced pages"):
        decode(data)


def test_a_ring_of_pages_ends():
    page = tiff()
    ring = page[:-4] + struct.pack("<I", 8 + 2048)
    films = frames(ring)
    next(films)
    with pytest.raises(BrokenFilm, match="back to a page before"):
        next(films)
    assert len(list(islice(frames(ring), 1))) == 1


def test_no_text_of_the_file_reaches_a_log(caplog, recwarn):
    caplog.set_level(0)
    films = [written(samples("u1"), description="PLANTED^Jane", software="PLANTED")]
    films += [film.replace(b"\x00\x01\x01\x00", b"\x00\x01\x63\x00", 1) for film in films]
    for film in films:
        try:
            decode(film)
        except FractureError as refusal:
            assert "PLANTED" not in str(refusal)  # noqa: PT017
    assert not caplog.records
    assert not recwarn.list


def test_numbers_that_are_no_bytes_are_no_tables():
    data = written(samples("u1"), compression="jpeg")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags[339].offset if 339 in file.pages[0].tags else file.pages[0].tags[305].offset
    lie = bytearray(data)
    struct.pack_into("<HHII", lie, at, 347, 4, 1, 0xFFFFFFFF)
    with pytest.raises(FractureError):
        decode(bytes(lie))
