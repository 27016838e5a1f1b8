"""Upper arm, shoulder and hip: enough for them to look different and for fractures to have a place with a name."""

from dataclasses import replace

from fracture.phantom.anatomy import TRUNK_BEAM, Anatomy, Bone, Dice, Site, egg, shaft
from fracture.phantom.rays import Part


def _upper_arm(dice: Dice) -> tuple[tuple[Bone, ...], tuple[Part, ...]]:
    """Give shoulder, humerus and elbow; the head's centre is at the origin, the body at x < 0."""
    ribs = tuple(
        Bone(
            f"rib {number}",
            (shaft((-190, 20 + 30 * number, -30), (-74, 34 + 33 * number, 20), (5.5,), 1.2, (2, 5), bow=-26),),
        )
        for number in range(5)
    )
    bones = (
        Bone(
            "humerus",
            (
                shaft(
                    (7, 0, 0),
                    (6, 308, 0),
                    (20, 17.5, 14.5, 12.5, 11.6, 11.2, 11, 11, 11, 11.2, 12, 14, 19, 26),
                    4.4,
                    (12, 9),
                    depth=0.85,
                    bow=dice.own.uniform(-3, 3),
                ),
                egg((-5, -3, 0), 24, 24),
                egg((17, 0, 4), 17, 9, lean=10),
                egg((-8, 306, 3), 12, 13),
                egg((18, 305, 4), 12, 11),
                egg((-19, 298, 0), 8, 7),
            ),
            (Site("neck", 0, 0.1, 0.17, 1.2), Site("shaft", 0, 0.25, 0.75, 3), Site("distal", 0, 0.82, 0.92)),
        ),
        Bone(
            "scapula",
            (
                egg((-35, 6, -2), 20, 8, lean=8, depth=1.4),
                egg((-78, 62, -10), 78, 40, lean=-14, depth=0.06),
                shaft((-112, -8, -26), (-30, 24, -4), (4, 5, 7), 1.2, (3, 3)),
                shaft((-52, -44, -24), (14, -36, -4), (8, 9, 8, 7), 1.2, (5, 6), depth=0.6),
                egg((-34, -22, 18), 16, 7, lean=50),
            ),
        ),
        Bone(
            "clavicle",
            (shaft((-160, -42, 16), (-6, -46, 2), (11, 8, 6.6, 6.4, 7, 8), 2.2, (5, 3), bow=8, depth=0.9),),
            (Site("shaft", 0, 0.4, 0.75, 1.0),),
        ),
        Bone("radius", (shaft((20, 324, 3), (26, 520, 0), (11, 9, 6.5, 7.5, 7, 7), 2.4, (3, 2)),)),
        Bone(
            "ulna",
            (shaft((-4, 296, -10), (-2, 520, 0), (10, 12, 12, 9, 7.5, 7, 7), 2.6, (8, 2)),),
        ),
        *ribs,
    )
    flesh = (
        shaft((12, -50, 0), (8, 330, 0), (40, 52, 56, 52, 47, 43, 41, 42), 4, (40, 4), depth=0.95),
        shaft((8, 300, 0), (10, 540, 0), (44, 45, 42, 38), 3, (30, 4), depth=0.9),
        Part((-70, -70, 0), (-110, 330, 0), (74, 96, 100, 96), (40, 4), 4, 4, 0.42),
    )
    return bones, flesh


def humerus(dice: Dice) -> Anatomy:
    """Give an arm held away from the body: no ribs lie over it."""
    bones, flesh = _upper_arm(dice)
    kept = tuple(replace(bone, sites=()) if bone.name == "clavicle" else bone for bone in bones[:5])
    return Anatomy(kept, flesh[:2], (0, 1), (dice.now.uniform(-6, 6), dice.now.uniform(80, 245)), 150)


def shoulder(dice: Dice) -> Anatomy:
    bones, flesh = _upper_arm(dice)
    sites = (Site("neck", 0, 0.1, 0.17, 3), Site("shaft", 0, 0.2, 0.32))
    bones = (replace(bones[0], sites=sites), *bones[1:])
    turns = {"frontal": 0.0, "oblique": 22.0, "lateral": 45.0}
    return Anatomy(bones, flesh, (0,), (-34, 30), 205, TRUNK_BEAM, long=False, turns=turns)


def hip(dice: Dice) -> Anatomy:
    """Give one hip: the femoral head's centre is at the origin, the pelvis at x < 0, the shaft runs down."""
    slope = dice.own.uniform(0.9, 1.1)
    bones = (
        Bone(
            "femur",
            (
                shaft(
                    (42, 26, 0), (30, 300, 0), (24, 21, 18.5, 16.5, 16, 15.5, 15.5, 15.5, 15.5), 6.2, (12, 2), depth=0.9
                ),
                shaft((-6, -5, 0), (48, 50 * slope, 2), (17, 16, 15.5, 16, 19, 22), 2.6, (8, 10), depth=0.86),
                egg((0, 0, 0), 24, 24),
                egg((51, 32, -6), 27, 15, lean=10, depth=1.1),
                egg((23, 76, -8), 13, 8, lean=14),
            ),
            (
                Site("neck", 1, 0.36, 0.5, 2),
                Site("intertrochanteric", 1, 0.72, 0.84, 2),
                Site("subtrochanteric", 0, 0.26, 0.42, 1.5),
            ),
        ),
        Bone(
            "pelvis",
            (
                replace(egg((-9, -4, 0), 36, 31, lean=-24), thick=1.8, thin=1.8, marrow=0.35),
                shaft((-10, -28, 0), (-66, -190, -10), (30, 24, 24, 34, 48, 60, 66), 1.3, (24, 30), depth=0.2),
                shaft((-22, 8, 12), (-124, 40, 30), (15, 10, 8.5, 9, 13), 1.7, (14, 3), depth=0.8, bow=5),
                shaft((-24, 18, -8), (-60, 88, -6), (16, 12, 12, 15), 1.7, (14, 10), depth=0.7),
                shaft((-54, 88, -4), (-120, 46, 26), (11, 7.5, 7, 10), 1.4, (8, 3), depth=0.8, bow=-3),
            ),
        ),
        Bone("sacrum", (egg((-150, -110, -30), 70, 46, lean=8, depth=0.4),)),
    )
    flesh = (
        shaft((24, -150, 0), (26, 330, 0), (84, 92, 94, 92, 90, 84, 76), 8, (70, 4), depth=0.95),
        Part((-110, -240, 0), (-110, 100, 0), (150, 172, 182, 176, 140), (4, 60), 9, 9, 0.55),
    )
    turns = {"frontal": 0.0, "oblique": 24.0, "lateral": 46.0}
    marks = {"greater-trochanter": ("femur", 3), "lesser-trochanter": ("femur", 4), "head": ("femur", 2)}
    return Anatomy(bones, flesh, (), (-12, 34), 205, TRUNK_BEAM, long=False, turns=turns, landmarks=marks)
