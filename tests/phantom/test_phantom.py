"""Phantom films look their part, obey the physics they claim, and their boxes say what was drawn and nothing else."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.phantom import (
    KINDS,
    PATTERNS,
    REGIONS,
    VIEWS,
    FilmSpec,
    draw_build,
    draw_examination,
    draw_film,
    draw_phantom,
)
from fracture.phantom.anatomy import LIMB_BEAM
from fracture.phantom.draw import bone_shadow
from fracture.phantom.exposure import Field, Tone, develop
from fracture.phantom.rays import Area, Part, Pose, area_of, shine, union
from fracture.phantom.regions import anatomy_of

PLAIN = FilmSpec(hardware="none", cast=False, marker=False, border="none")
NOISE = 7
"""What scatter and evening out carry beyond a fracture, and noise: twins differ by no more than that elsewhere."""


def draw(seed, size_px=(373, 454), *, fractured=True):
    return draw_film(np.random.default_rng(seed), size_px, fractured=fractured)


def phantom(seed, spec=PLAIN, *, fractured=True, size_px=(240, 300), view="frontal", **more):
    return draw_phantom(np.random.default_rng(seed), size_px, fractured=fractured, spec=spec, view=view, **more)


def difference(film, twin):
    return film.grey.astype(int) - twin.grey.astype(int)


def cut(plane, box):
    x0, y0, x1, y1 = map(int, box)
    return plane[y0:y1, x0:x1]


def covered(shape, boxes, margin=0):
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[max(0, int(y0) - margin) : int(y1) + margin, max(0, int(x0) - margin) : int(x1) + margin] = True
    return mask


# --- films ------------------------------------------------------------------------------------------------------------


def test_a_seed_draws_one_film():
    first, again, other = draw(3), draw(3), draw(4)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert (first[0] != other[0]).any()


def test_a_film_may_be_written_on_and_the_truth_may_not():
    assert draw(0)[0].flags.writeable
    assert not phantom(0).pixels.flags.writeable


@pytest.mark.parametrize("size_px", [(373, 454), (454, 373), (200, 200), (90, 300)])
def test_every_fracture_has_a_box_on_the_film(size_px):
    width, height = size_px
    for seed in range(8):
        pixels, boxes = draw(seed, size_px)
        assert (pixels.shape, pixels.dtype) == ((height, width), np.uint8)
        assert len(boxes) in (1, 2)
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert (x1 - x0) * (y1 - y0) < 0.15 * width * height
            assert min(x1 - x0, y1 - y0) >= 4


def test_a_normal_film_has_no_box():
    assert draw(0, fractured=False)[1] == ()


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_box_holds_all_that_tells_a_broken_bone_from_its_unbroken_twin(region, kind):
    for seed in range(3):
        broken, whole = (phantom(seed, replace(PLAIN, region=region, kind=kind), fractured=f) for f in (True, False))
        assert broken.fractures
        assert not whole.fractures
        change = np.abs(difference(broken, whole))
        assert change[~covered(change.shape, broken.boxes)].max() <= NOISE
        for fracture in broken.fractures:
            assert fracture.kind == kind
            inside = cut(change, fracture.box)
            assert inside.max() > 2 * NOISE
            edges = inside[:4], inside[-4:], inside[:, :4], inside[:, -4:]
            assert min(edge.max() for edge in edges) >= 4, "the box could be smaller"


def test_a_fracture_lies_where_its_outline_says():
    for seed in range(4):
        for fracture in phantom(seed, replace(PLAIN, region="leg")).fractures:
            xs, ys = zip(*fracture.outline, strict=True)
            assert (min(xs), min(ys), max(xs), max(ys)) == fracture.box


@pytest.mark.parametrize("view", VIEWS)
def test_a_break_is_on_the_film_wherever_it_is_wished_for(view):
    for region, site in (("leg", "shaft"), ("leg", "malleolus"), ("humerus", "distal"), ("hip", "subtrochanteric")):
        for seed in range(4):
            assert phantom(seed, replace(PLAIN, region=region, site=site), view=view).fractures


def test_lines_and_gaps_are_dark_and_steps_move_bone():
    """A step takes bone away on one flank and puts it on the other; lines and gaps only take away."""
    shares = {}
    for kind in KINDS:
        darker = brighter = 0
        for seed in range(5):
            spec = replace(PLAIN, region="humerus", kind=kind, pattern="transverse")
            change = difference(phantom(seed, spec), phantom(seed, spec, fractured=False))
            darker += np.clip(-change - NOISE, 0, None).sum()
            brighter += np.clip(change - NOISE, 0, None).sum()
        assert darker > 0
        shares[kind] = brighter / darker
    assert shares["line"] < 0.01
    assert shares["gap"] < 0.01
    assert shares["step"] > 0.3


def test_gaps_are_wider_than_lines():
    def lost(kind):
        spec = replace(PLAIN, region="humerus", kind=kind, pattern="transverse")
        changes = (difference(phantom(seed, spec), phantom(seed, spec, fractured=False)) for seed in range(4))
        return sum((change < -2 * NOISE).sum() for change in changes)

    assert lost("gap") > 1.5 * lost("line")


def test_patterns_run_as_they_are_called():
    """Along the bone an oblique line is longer than a transverse one, and a segment has a line at either end."""
    length = {}
    for pattern in PATTERNS:
        spec = replace(PLAIN, region="humerus", site="shaft", kind="line", pattern=pattern, fractures=1)
        films = [phantom(seed, spec, view="frontal") for seed in range(5)]
        assert {one.pattern for film in films for one in film.fractures} == {pattern}
        length[pattern] = np.median([film.boxes[0][3] - film.boxes[0][1] for film in films])
    assert min(length["oblique"], length["spiral"], length["segmental"]) > 1.5 * length["transverse"]

    spec = replace(PLAIN, region="humerus", site="shaft", kind="gap", pattern="segmental", fractures=1)
    film, twin = (phantom(1, spec, fractured=fractured) for fractured in (True, False))
    rows = (cut(difference(film, twin), film.boxes[0]) < -20).sum(axis=1) > 2
    assert np.count_nonzero(np.diff(rows.astype(int)) == 1) + rows[0] == 2


def test_what_is_wished_for_is_drawn():
    spec = FilmSpec(region="leg", side="R", kind="gap", pattern="oblique", site="shaft", fractures=1)
    spec = replace(spec, hardware="plate", cast=True, marker=True, border="bright")
    film = phantom(2, spec, view="lateral")
    assert (film.region, film.side, film.view, film.border) == ("leg", "R", "lateral", "bright")
    assert (film.cast, film.hardware_kind, len(film.markers), len(film.hardware)) == (True, "plate", 1, 1)
    (fracture,) = film.fractures
    assert (fracture.kind, fracture.pattern, fracture.site) == ("gap", "oblique", "shaft")


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": "left"},
        {"kind": "crack"},
        {"pattern": "comminuted"},
        {"hardware": "nail"},
        {"border": "grey"},
        {"region": "skull"},
        {"region": "hip", "site": "waist"},
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(BadValue, match=r"expected .*got"):
        phantom(0, FilmSpec(**wrong))


@pytest.mark.parametrize("more", [{"views": ("axial",)}, {"views": ()}, {"bits": 16}])
def test_views_and_bits_are_checked(more):
    with pytest.raises(BadValue, match="expected views"):
        draw_examination(np.random.default_rng(0), fractured=True, **more)


def test_twelve_bits_in_sixteen_are_the_same_film():
    deep, shallow = (phantom(5, bits=bits) for bits in (12, 8))
    assert (deep.pixels.dtype, shallow.pixels.dtype) == (np.uint16, np.uint8)
    assert 1023 < deep.pixels.max() <= 4095
    assert np.abs(difference(deep, shallow)).max() <= 1
    assert len(np.unique(deep.pixels)) > 256


def test_the_unbroken_have_less_hardware_and_fewer_casts():
    films = {
        fractured: [phantom(seed, FilmSpec(), fractured=fractured, size_px=(60, 75)) for seed in range(50)]
        for fractured in (True, False)
    }
    count = {key: sum(film.hardware_kind != "none" for film in some) for key, some in films.items()}
    assert count[True] > count[False]
    assert sum(film.cast for film in films[True]) > sum(film.cast for film in films[False])


# --- physics ----------------------------------------------------------------------------------------------------------


def cylinder(radius=10.0, *, thick=2.0, depth=1.0, marrow=1.0):
    return Part((0, -40, 0), (0, 40, 0), (radius,), (0.1, 0.1), thick, thick, depth=depth, marrow=marrow)


def rays(part, turn=0.0, px_per_mm=2.0):
    pose = Pose(turn, 0.0, px_per_mm, (0.0, 0.0), (60.0, 100.0))
    shadow = shine(part, pose)
    return union((shadow,), Area(0, 0, 120, 200), (120, 200))[100]


def test_a_way_through_a_cylinder_is_its_chord():
    x = (np.arange(120) + 0.5 - 60) / 2
    outer, inner, _ = rays(cylinder()).T
    np.testing.assert_allclose(outer, 2 * np.sqrt(np.clip(100 - x**2, 0, None)), atol=0.6)
    np.testing.assert_allclose(inner, 2 * np.sqrt(np.clip(64 - x**2, 0, None)), atol=0.6)
    assert (outer - inner)[60 - 18] > 1.5 * (outer - inner)[60], "cortex is thickest where a ray grazes it"


def test_a_flat_bone_is_thin_from_the_front_and_narrow_from_the_side():
    front, side = (rays(cylinder(depth=0.5), turn)[:, 0] for turn in (0.0, np.pi / 2))
    assert front.max() == pytest.approx(10, abs=0.3)
    assert side.max() == pytest.approx(20, abs=0.5)
    assert np.count_nonzero(front) == pytest.approx(2 * np.count_nonzero(side), abs=3)


def test_parts_that_have_grown_together_are_no_thicker_than_the_thickest():
    pose = Pose(0.0, 0.0, 2.0, (0.0, 0.0), (60.0, 100.0))
    one, more = shine(cylinder(), pose), shine(replace(cylinder(6.0), start=(3, -40, 0), end=(3, 40, 0)), pose)
    area = area_of((one, more), (120, 200))
    alone, both = (union(shadows, area, (120, 200)) for shadows in ((one,), (one, more)))
    np.testing.assert_array_equal(alone[..., 0], both[..., 0])


CURVE = Tone(1.0, 0.4, 0.5)


def test_spongy_bone_is_grained_the_less_the_more_there_is_of_it():
    def roughness(way_mm):
        rays = np.stack(np.broadcast_arrays(way_mm, way_mm, np.full(5000, way_mm)), axis=-1).astype(np.float32)
        shadow = bone_shadow(rays, np.random.default_rng(0).standard_normal(5000, np.float32), LIMB_BEAM)
        return shadow.std() / shadow.mean()

    assert 0.05 < roughness(36.0) == pytest.approx(roughness(9.0) / 2, rel=0.05)


def film_of(total, tone=CURVE):
    field = Field("none", Area(0, 0, total.shape[1], total.shape[0]), 0.0)
    return develop(np.random.default_rng(0), total.astype(np.float32), None, LIMB_BEAM, tone, field)


def test_more_in_the_way_is_brighter():
    """The steps of a wedge, each thicker by as much, come out brighter step by step."""
    steps = np.repeat(np.linspace(0.2, 2.0, 6), 30)
    grey = film_of(np.tile(steps, (80, 1)))
    levels = [grey[:, 30 * step + 8 : 30 * step + 22].mean() for step in range(6)]
    assert (np.diff(levels) > 0.03).all()


def test_quanta_are_noisier_where_few_arrive():
    """Behind one more attenuation there are exp(1) times fewer quanta, and the noise of their log is exp(1/2) times."""
    tone = Tone(1.5, 20.0, 0.5)  # so wide that the curve is straight
    thin, thick = (film_of(np.full((200, 200), value), tone).std() for value in (1.0, 2.0))
    assert thick / thin == pytest.approx(np.exp(0.5), rel=0.12)


@pytest.mark.parametrize("region", REGIONS)
def test_bone_is_bright_flesh_is_grey_and_air_is_dark(region):
    film = phantom(1, replace(PLAIN, region=region), fractured=False)
    dark, bright = np.percentile(film.grey, (2, 98))
    assert dark < 70
    assert bright > 150


# --- what lies on a film besides --------------------------------------------------------------------------------------


def test_a_marker_is_bright_and_boxed():
    for seed in range(5):
        marked, plain = (phantom(seed, replace(PLAIN, marker=marker)) for marker in (True, False))
        change = difference(marked, plain)
        (box,) = marked.markers
        assert np.abs(change[~covered(change.shape, [box], 2)]).max() <= NOISE
        inside = cut(change, box)
        assert min(edge.max() for edge in (inside[:3], inside[-3:], inside[:, :3], inside[:, -3:])) > 30
        assert plain.markers == ()
        assert not (covered(change.shape, [box]) & covered(change.shape, marked.boxes)).any()


@pytest.mark.parametrize("kind", ["plate", "pin"])
@pytest.mark.parametrize(("region", "site"), [("wrist", "distal"), ("leg", None), ("hip", "subtrochanteric")])
def test_metal_is_bright_and_boxed_and_holds_the_fracture(kind, region, site):
    for seed in range(3):
        spec = replace(PLAIN, region=region, site=site)
        held, bare = (phantom(seed, replace(spec, hardware=hardware)) for hardware in (kind, "none"))
        assert (held.hardware_kind, bare.hardware_kind, bare.hardware) == (kind, "none", ())
        (box,) = held.hardware
        change = difference(held, bare)
        assert np.abs(change[~covered(change.shape, [box], 3)]).max() < 25, "evening out carries a little of it"
        inside = cut(change, box)
        assert min(edge.max() for edge in (inside[:4], inside[-4:], inside[:, :4], inside[:, -4:])) > 30
        assert held.boxes == bare.boxes
        assert (covered(change.shape, [box]) & covered(change.shape, held.boxes[:1])).any()


def test_a_cast_is_a_shell_around_the_limb():
    wrapped, bare = (phantom(3, replace(PLAIN, region="leg", cast=cast)) for cast in (True, False))
    assert wrapped.cast
    assert wrapped.boxes == bare.boxes
    row, change = bare.grey[150].astype(int), difference(wrapped, bare)[150]
    air = row < np.percentile(row, 5) + 10
    outside = np.flatnonzero(air & (change > 40))
    limb = np.flatnonzero(~air)
    assert (outside < limb[0]).sum() >= 4, "plaster lies outside the skin"
    assert (outside > limb[-1]).sum() >= 4
    assert not phantom(3, replace(PLAIN, region="hip", cast=True)).cast, "nobody casts a hip"


@pytest.mark.parametrize(("border", "expected"), [("dark", 0), ("bright", 255)])
def test_outside_the_collimated_field_the_film_is_flat(border, expected):
    seen = 0
    for seed in range(4):
        film = phantom(seed, replace(PLAIN, border=border))
        x0, y0, x1, y1 = map(int, film.collimated)
        for corner in (film.grey[: y0 - 4], film.grey[y1 + 4 :], film.grey[:, : x0 - 4], film.grey[:, x1 + 4 :]):
            if min(corner.shape) > 0 and x0 > 6 and y0 > 6:
                seen += 1
                assert np.abs(corner.astype(int) - expected).mean() < 60
    assert seen
    assert phantom(0).collimated == (0, 0, 240, 300)


# --- patients, regions, views -----------------------------------------------------------------------------------------


def test_an_examination_shows_one_fracture_from_several_sides():
    for seed in range(4):
        films = draw_examination(np.random.default_rng(seed), (240, 300), fractured=True, spec=PLAIN)
        assert tuple(film.view for film in films) == VIEWS
        assert len({(film.region, film.side, film.build) for film in films}) == 1
        assert films[0].fractures
        said = [{(one.bone, one.site, one.kind, one.pattern) for one in film.fractures} for film in films]
        assert all(some <= said[0] for some in said)
        assert all(np.abs(difference(films[0], film)).mean() > 5 for film in films[1:])


def test_films_of_one_patient_share_its_bones():
    def lengths(build, seed):
        anatomy = anatomy_of("wrist", build, np.random.default_rng(seed))
        return [np.subtract(part.end, part.start) for bone in anatomy.bones[:6] for part in bone.parts]

    one, other = draw_build(np.random.default_rng(0), age=40), draw_build(np.random.default_rng(1), age=40)
    np.testing.assert_array_equal(lengths(one, 5), lengths(one, 6))
    assert not np.allclose(lengths(one, 5), lengths(other, 5))
    assert phantom(3, build=one).build == one


def test_left_is_right_in_a_mirror():
    """On films as viewers hang them the head of a right hip lies to the left of its trochanter."""
    for seed in range(4):
        for side, outward in (("R", 1), ("L", -1)):
            marks = phantom(seed, replace(PLAIN, region="hip", side=side)).landmarks
            head, trochanter = (marks[name][0] + marks[name][2] for name in ("head", "greater-trochanter"))
            assert (trochanter - head) * outward > 0


def test_children_are_smaller_and_have_plates_of_cartilage():
    child, grown = (draw_build(np.random.default_rng(0), age=age) for age in (7, 50))
    assert child.size < 0.8 * grown.size
    plates = [
        anatomy_of("wrist", build, np.random.default_rng(0)).bones[0].parts[0].plate is not None
        for build in (child, grown)
    ]
    assert plates == [True, False]
    film, old = (phantom(0, replace(PLAIN, region="wrist"), fractured=False, build=build) for build in (child, grown))
    assert film.spacing_mm < old.spacing_mm


def test_regions_have_the_bones_they_should():
    """Bright stretches across the middle of the film: fingers are many, a thigh is one."""
    count = {}
    for region in REGIONS:
        rows = []
        for seed in range(6):
            film = phantom(
                seed,
                replace(PLAIN, region=region),
                fractured=False,
                build=draw_build(np.random.default_rng(seed), age=40),
            )
            row = film.grey[110:116].mean(axis=0)
            bone = row > row.min() + 0.55 * (np.percentile(row, 98) - row.min())
            rows.append(np.count_nonzero(np.diff(bone.astype(int)) == 1) + bone[0])
        count[region] = np.median(rows)
    assert count["hand"] >= 3
    assert count["humerus"] <= 2
    hip = phantom(0, replace(PLAIN, region="hip"))
    assert hip.landmarks.keys() == {"greater-trochanter", "lesser-trochanter", "head"}
    bright = [cut(hip.grey, hip.landmarks[name]).mean() for name in ("head", "greater-trochanter")]
    assert bright[0] > bright[1], "a ball of bone within a cup of bone"


def test_films_of_one_region_are_not_one_film():
    """Poses, builds and collimation differ so much that no audit may take two patients' films for one."""
    for region in REGIONS:
        small = []
        for seed in range(12):
            film = phantom(seed, FilmSpec(region=region), size_px=(120, 150))
            grey = film.grey[::2, ::2].astype(float)
            small.append((grey - grey.mean()) / grey.std())
        alike = [float((a * b).mean()) for i, a in enumerate(small) for b in small[:i]]
        assert max(alike) < 0.95


def test_drawing_needs_no_dicom():
    code = "import sys, fracture.phantom; assert 'pydicom' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
