"""Hand, wrist and lower leg: enough for them to look different and for fractures to have a place with a name."""

import math
from dataclasses import replace

from fracture.phantom.anatomy import Anatomy, Bone, Dice, Site, egg, shaft
from fracture.phantom.rays import Part, Point


def _hand_and_wrist(dice: Dice) -> tuple[list[Bone], list[Part]]:
    """Give forearm, carpals, five rays of fingers, fingers up; the wrist's joint is at y = 0, the thumb at x < 0."""
    bones = [
        Bone(
            "radius",
            (
                shaft(
                    (-6, -3, 0),
                    (-9, 165, 3),
                    (14.5, 12.5, 9, 7.4, 6.6, 6.2, 6, 6, 6, 6, 6, 6.2, 6.4, 6.6, 6.8, 7),
                    2.6,
                    (5, 4),
                    depth=0.78,
                    bow=-2,
                    plate=9.0 if dice.growing else None,
                ),
                egg((-14.5, 0, 0), 9, 5.5, lean=-12),
            ),
            (Site("distal", 0, 0.10, 0.2, 3), Site("shaft", 0, 0.22, 0.42)),
        ),
        Bone(
            "ulna",
            (
                shaft(
                    (14, 0, 3),
                    (12, 165, 0),
                    (7.6, 6.4, 5.2, 4.8, 4.8, 5, 5.2, 5.4, 5.6, 5.8, 6),
                    2.3,
                    bow=2,
                    plate=7.0 if dice.growing else None,
                ),
                egg((18.5, 2, 3), 6.5, 3),
            ),
            (Site("distal", 0, 0.08, 0.2, 1), Site("shaft", 0, 0.22, 0.42, 0.6)),
        ),
    ]
    carpals = {
        "scaphoid": ((-13.5, -13, 3), 9, 5.2, 40),
        "lunate": ((-3, -11, -1), 6.6, 6.2, 0),
        "triquetrum": ((9, -14, -3), 6.4, 5.2, 30),
        "pisiform": ((11.5, -15, 8), 4.2, 3.8, 0),
        "trapezium": ((-20, -25, 5), 6.4, 5.6, -25),
        "trapezoid": ((-11.5, -26, -1), 5, 4.8, 0),
        "capitate": ((-2, -24, -1), 9.5, 6, 6),
        "hamate": ((9, -25.5, 1), 7.8, 6, 24),
    }
    formed = 8 if dice.age >= 9 else max(2, dice.age - 1)
    order = ("capitate", "hamate", "triquetrum", "lunate", "scaphoid", "trapezium", "trapezoid", "pisiform")
    for name in order[:formed]:
        centre, half, radius, slant = carpals[name]
        wobble = dice.own.uniform(0.92, 1.06)
        sites = (Site("waist", 0, 0.4, 0.6, 0.8),) if name == "scaphoid" else ()
        bones.append(Bone(name, (egg(centre, half * wobble, radius * wobble, lean=slant, depth=0.85),), sites))
    flesh = [
        shaft((3, -14, 0), (1, 180, 0), (25, 27, 28, 31, 34, 37, 40), 2, (30, 1), depth=0.64),
        shaft((0, 40, 0), (-3, -95, 2), (24, 25, 32, 39, 42, 42), 2, (30, 18), depth=0.38),
        shaft((-18, -8, 8), (-46, -62, 8), (15, 18, 15, 11), 2, (14, 10), depth=0.8),
    ]
    spread, curl = dice.now.uniform(0.7, 1.35), dice.now.uniform(0.4, 1.3)
    rays = (  # base of the metacarpal, its angle, lengths from metacarpal to tip, thickness
        ((-24, -31, 6), -36, (45, 31, 22), 1.1),
        ((-12, -34, 0), -9, (65, 41, 24, 17), 1.05),
        ((-3, -35, -1), -1, (63, 45, 29, 18), 1.05),
        ((6, -34.5, 0), 6, (56, 41, 27, 18), 0.95),
        ((13, -33, 2), 14, (51, 33, 19, 16), 0.9),
    )
    names = ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx")
    for number, (base, angle, lengths, stout) in enumerate(rays, start=1):
        place: Point = base
        lean, fall = angle * spread, 0.0
        for index, length in enumerate(lengths):
            kind = names[-1] if index == len(lengths) - 1 else names[index]
            long = length * dice.own.uniform(0.97, 1.03)
            place, end = _next(place, lean, fall, long)
            widths = {
                "metacarpal": (7.2, 5.2, 4, 3.9, 4.4, 6.6),
                "distal phalanx": (4.8, 3.4, 2.6, 3.6),
            }.get(kind, (6.6, 5, 4.2, 4.1, 5) if kind.startswith("prox") else (5.4, 4.2, 3.5, 3.5, 4.3))
            bones.append(
                Bone(
                    f"{kind} {number}",
                    (shaft(place, end, (width * stout for width in widths), 1.9 * stout, (3, 3.4), depth=0.82),),
                    (Site("shaft", 0, 0.22, 0.8, 1.0 if kind == "metacarpal" else 0.5),) if long > 20 else (),
                )
            )
            if index:
                skin = (9.6 * stout, 9.2 * stout, 8.2 * stout)
                # Skin runs on over the joints.
                root, tip = (_next(place, lean, fall, along)[1] for along in (-14, long + 5))
                flesh.append(shaft(root, tip, skin, 2, (7, 8), depth=0.9))
            place = _next(end, lean, fall, 1.4)[1]
            fall += curl * (6 + 3 * number) * (0.3 if index == 0 else 1)
            lean *= 0.8 if index == 0 else 1.0
    return bones, flesh


def _next(start: Point, lean: float, fall: float, length: float) -> tuple[Point, Point]:
    """Give a bone's two ends, fingers pointing up: leaning to the side, falling towards the detector, in degrees."""
    a, b = math.radians(lean), math.radians(fall)
    step = (math.sin(a) * math.cos(b) * length, -math.cos(a) * math.cos(b) * length, math.sin(b) * length)
    return start, (start[0] + step[0], start[1] + step[1], start[2] + step[2])


def hand(dice: Dice) -> Anatomy:
    bones, flesh = _hand_and_wrist(dice)
    inner = [replace(bone, sites=()) if bone.name in {"radius", "ulna"} else bone for bone in bones]
    return Anatomy(tuple(inner), tuple(flesh), (0, 1), (-6, -75), 172)


def wrist(dice: Dice) -> Anatomy:
    bones, flesh = _hand_and_wrist(dice)
    first = [bone if bone.name in {"radius", "ulna", "scaphoid"} else replace(bone, sites=()) for bone in bones]
    return Anatomy(tuple(first), tuple(flesh), (0, 1), (-3, 8), 92)


def leg(dice: Dice) -> Anatomy:
    """Give the lower leg from above the knee (y = 0) to the foot; a film shows its upper, middle or lower third."""
    tibia = shaft(
        (1, 3, 0),
        (3, 372, 0),
        (37, 33, 22, 17, 14.5, 13.5, 13, 12.5, 12.5, 12, 12.5, 14, 18, 23),
        5.2,
        (6, 4),
        depth=0.82,
        bow=dice.own.uniform(-3, 3),
        plate=16.0 if dice.growing else None,
    )
    bones = (
        Bone(
            "tibia",
            (tibia, egg((20, 374, 2), 13, 7)),
            (Site("proximal", 0, 0.05, 0.2), Site("shaft", 0, 0.25, 0.8), Site("distal", 0, 0.82, 0.94, 1.6)),
        ),
        Bone(
            "fibula",
            (
                shaft(
                    (-30, 20, -14),
                    (-25, 392, -6),
                    (9, 7, 5.6, 5.2, 5.4, 5.6, 5.6, 5.4, 5.4, 6.4, 8.4, 8),
                    2.2,
                    (6, 8),
                    bow=dice.own.uniform(-3, 2),
                ),
            ),
            (Site("proximal", 0, 0.05, 0.2), Site("shaft", 0, 0.25, 0.8), Site("malleolus", 0, 0.84, 0.96, 2)),
        ),
        Bone(
            "femur",
            (
                shaft((10, -330, 4), (2, -6, 0), (15, 15, 15, 15, 15.5, 17, 22, 34, 38), 5.4, (2, 10), depth=0.8),
                egg((-20, -21, -6), 22, 19, depth=1.3),
                egg((20, -21, -6), 22, 19, depth=1.3),
            ),
            (Site("distal", 0, 0.68, 0.86),),
        ),
        Bone("patella", (egg((0, -34, 40), 22, 20, depth=0.5),)),
        Bone("talus", (egg((3, 388, 4), 12, 21, depth=1.2), egg((2, 398, 30), 11, 13, depth=1.4))),
        Bone(
            "calcaneus",
            (
                Part((0, 412, 26), (-2, 420, -38), (14, 15, 17, 17), (12, 14), 1.2, 0.9),
                egg((0, 400, 4), 10, 15),
            ),
        ),
        Bone("tarsals", (egg((2, 404, 46), 12, 14), egg((6, 408, 62), 10, 17, depth=0.8))),
        *(
            Bone(f"metatarsal {toe}", (shaft((x, 408 + toe, 70), (1.3 * x, 424 + toe, 140), (7, 5, 4, 4, 6), 1.8),))
            for toe, x in enumerate((-16, -8, 1, 10, 20), start=1)
        ),
    )
    flesh = (
        shaft((4, -340, 0), (0, 90, 0), (78, 74, 68, 61, 56, 52), 3, (4, 60)),
        shaft(
            (0, -110, 0),
            (0, 400, -6),
            (48, 50, 53, 57, 57, 56, 48, 40, 36, 34, 36, 38),
            3,
            (70, 12),
            depth=0.95,
            bow=-3,
        ),
        Part((0, 408, -48), (6, 425, 130), (26, 32, 34, 32), (20, 10), 2, 2, 0.8),
    )
    centres = {"knee": (0.0, -6.0), "shaft": (-4.0, 190.0), "ankle": (-2.0, 355.0)}
    place = str(dice.now.choice(list(centres), p=(0.3, 0.35, 0.35)))
    return Anatomy(bones, flesh, (1, 2), centres[place], 190.0 if place == "shaft" else 150.0)
