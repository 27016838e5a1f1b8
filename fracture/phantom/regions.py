"""The table of regions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from fracture.core.errors import BadValue
from fracture.phantom import limbs, trunk
from fracture.phantom.anatomy import Anatomy, Build, Dice, grown

_REGIONS: Mapping[str, Callable[[Dice], Anatomy]] = MappingProxyType(
    {
        "hand": limbs.hand,
        "wrist": limbs.wrist,
        "humerus": trunk.humerus,
        "shoulder": trunk.shoulder,
        "hip": trunk.hip,
        "leg": limbs.leg,
    }
)
REGIONS = tuple(_REGIONS)


def anatomy_of(region: str, build: Build, rng: np.random.Generator) -> Anatomy:
    """Give one patient's bones in one region. ``rng`` decides what an examination decides, such as how fingers lie.

    Raises BadValue for a region that is not in the table.
    """
    if region not in _REGIONS:
        raise BadValue(f"expected a region out of {', '.join(REGIONS)}, got {region!r}")
    dice = Dice(own=np.random.default_rng(build.quirks), now=rng, age=build.age)
    return grown(_REGIONS[region](dice), build)
