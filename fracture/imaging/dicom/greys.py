"""Stored values to greys, in the order of PS3.4 N.2: modality LUT, VOI LUT, presentation LUT; and colours to luma.

pydicom's own look-up and window functions are not used: they index 8-bit tables modulo 256, reject tables of 9 or 12
bits and ignore padding.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from fracture.core.errors import BadValue, BrokenFilm
from fracture.imaging.dicom.elements import code, items, numbers, raw
from fracture.imaging.greys import ASSUMED_RANGE, unstated

Pixels = NDArray[Any]
"""Integers or floats of any width, as the header has them."""

_DETECTOR_BITS = (8, 10, 12, 14, 16)
_BLACK = 16
"""A table whose values end at a sixteenth of what its bits can hold shows a black film."""

_FULL = 0.97
_SAMPLE_PX = 20_000
"""So many pixels, evenly spread, tell whether a view shows anything."""

_FEW_GREYS = 8


def greys(
    dataset: Dataset, index: int, stored: Pixels, absent: NDArray[np.bool_], window: int, flags: set[str]
) -> Pixels:
    """Take one frame through PS3.4 N.2. Adds padding (C.7.5.1.1.2) to ``absent``, and what was assumed to ``flags``.

    Presentation LUT (C.11.6): on an image its shape only restates the photometric interpretation, INVERSE for
    MONOCHROME1 and IDENTITY for MONOCHROME2 (C.7.6.1, C.8.11.3), so the two together mean one inversion, not two.
    """
    absent |= _padding(dataset, stored, flags)
    values = _rescaled(dataset, index, stored, flags)
    absent |= ~np.isfinite(values)
    grey = _viewed(dataset, index, values, absent, window, flags)
    if grey is None:
        grey = unstated(values, absent)
    shape = code(dataset, "PresentationLUTShape")
    inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    if shape in {"IDENTITY", "INVERSE"} and inverse != (shape == "INVERSE"):
        flags.add("polarity_conflict")
    if inverse or shape == "INVERSE":
        flags.add("inverted")
        grey = 1 - np.clip(grey, 0, 1)
    return grey


def _padding(dataset: Dataset, stored: Pixels, flags: set[str]) -> NDArray[np.bool_]:
    """Mark the pixels that fill the frame up to a rectangle, from PixelPaddingValue to PixelPaddingRangeLimit."""
    ends = [_first(dataset, keyword, flags) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    known = [end for end in ends if end is not None and math.isfinite(end)]
    if ends[0] not in known or stored.dtype.kind == "f":
        return np.zeros(stored.shape, dtype=bool)
    # Written as US where SS was meant, or the other way round, the value is off by the whole range.
    span, least = 1 << stored.dtype.itemsize * 8, int(np.iinfo(stored.dtype).min)
    low, high = sorted((int(end) - least) % span + least for end in (known * 2)[:2])
    return (stored >= low) & (stored <= high)


def _first(source: Dataset, keyword: str, flags: set[str], *, zero: bool = True) -> float | None:
    """Give an element's first usable value; flag the film where one before it is not usable."""
    found = numbers(source, keyword)
    good = [number for number in found if math.isfinite(number) and (zero or number)]
    if good and not (math.isfinite(found[0]) and (zero or found[0])):
        flags.add("bad_value")
    return good[0] if good else math.nan if found else None


def _rescaled(dataset: Dataset, index: int, stored: Pixels, flags: set[str]) -> Pixels:
    """Apply the modality LUT: a table or slope and intercept (C.11.1), of the frame (C.7.6.16.2.9) or the image."""
    values: Pixels = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
    source = macro(dataset, index, "PixelValueTransformationSequence")
    tables = _luts(source, "ModalityLUTSequence")
    for item in tables:
        if table := _lut(dataset, item):
            return _look_up(values, *table[:2])
    slope = _first(source, "RescaleSlope", flags, zero=False)
    intercept = _first(source, "RescaleIntercept", flags)
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if tables or not _tells_apart(values, slope, intercept, whole=stored.dtype.kind != "f"):
        flags.add("bad_rescale")
        return values
    return values if (slope, intercept) == (1, 0) else values * slope + intercept


def _tells_apart(values: Pixels, slope: float, intercept: float, *, whole: bool) -> bool:
    """Tell whether rescaled values stay finite and distinct: at steps of 1, of floats at a 65,536th of their span."""
    if (slope, intercept) == (1, 0):
        return True
    there = values if whole else values[np.isfinite(values)]
    low, high = float(there.min(initial=math.inf)), float(there.max(initial=-math.inf))
    furthest = max(abs(end * slope + intercept) for end in (low, high))
    step = abs(slope) * (1 if whole else (high - low) / (1 << 16))
    return furthest <= np.finfo(values.dtype).max and bool(np.spacing(values.dtype.type(furthest)) <= step)


def states_view(dataset: Dataset, index: int) -> bool:
    """Tell whether the file says how to show its values."""
    source = macro(dataset, index, "FrameVOILUTSequence")
    return bool(_luts(source, "VOILUTSequence") or numbers(source, "WindowCenter"))


def _viewed(
    dataset: Dataset, index: int, values: Pixels, absent: NDArray[np.bool_], window: int, flags: set[str]
) -> Pixels | None:
    """Apply one VOI LUT or window (C.11.2), of the frame (C.7.6.16.2.10) or the image; None where there is none usable.

    Where both are present one of them is applied: they are alternative views (C.11.2.1). The tables come first, since
    a maker who adds one means more than a straight line can say. Where the chosen view is not usable, the first usable
    one takes its place.
    """
    source = macro(dataset, index, "FrameVOILUTSequence")
    function = code(source, "VOILUTFunction") or "LINEAR"
    pairs = list(zip(numbers(source, "WindowCenter"), numbers(source, "WindowWidth"), strict=False))
    views: list[Callable[[], Pixels | None]] = [
        partial(_by_table, dataset, item, values, flags) for item in _luts(source, "VOILUTSequence")
    ]
    views += [partial(_by_window, values, centre, width, function) for centre, width in pairs]
    _check_window(window, len(views))
    if not views:
        flags.add("no_window")
        return None
    for view in (views[window], *views[:window], *views[window + 1 :]):
        grey = view()
        if grey is not None:
            if view is not views[window] or not all(_allowed(*pair, function) for pair in pairs):
                flags.add("bad_value")
            if _shows(grey, values, absent):
                return grey
            break
    flags -= {"bad_value", "lut_bits_overstated"}
    flags |= {"bad_window"}
    return None


def _by_table(dataset: Dataset, item: Dataset, values: Pixels, flags: set[str]) -> Pixels | None:
    table = _lut(dataset, item)
    if table is None:
        return None
    first, entries, bits = table
    return _look_up(values, first, entries / (2 ** _used_bits(bits, float(entries.max()), flags) - 1))


def _allowed(centre: float, width: float, function: str) -> bool:
    """Tell whether the standard allows a window: LINEAR is at least 1 wide, others more than 0 (C.11.2.1)."""
    if not math.isfinite(centre):
        return False
    return width >= 1 if function == "LINEAR" else function in {"LINEAR_EXACT", "SIGMOID"} and width > 0


def _by_window(values: Pixels, centre: float, width: float, function: str) -> Pixels | None:
    """Map values to greys, those of the window to 0..1; None for a window that is not allowed.

    LINEAR is C.11.2.1.2.1, SIGMOID C.11.2.1.3.1 and LINEAR_EXACT C.11.2.1.3.2.
    """
    grey: Pixels
    if not _allowed(centre, width, function):
        return None
    if function == "LINEAR":
        middle = centre - 0.5
        grey = (values - middle) / (width - 1) + 0.5 if width > 1 else (values > middle).astype(values.dtype)
    elif function == "LINEAR_EXACT":
        grey = (values - centre) / width + 0.5
    else:
        grey = 1 / (1 + np.exp(-4 * (values - centre) / width))
    return grey


def _check_window(window: int, count: int) -> None:
    if not 0 <= window < max(count, 1):
        raise BadValue(f"window: expected 0 to {max(count, 1) - 1}, got {window}; the film has {count} windows")


def _shows(grey: Pixels, values: Pixels, absent: NDArray[np.bool_]) -> bool:
    """Tell whether a view shows the film: a window beside its values, or a hundred times as wide, does not.

    A film with hardly any greys is shown as the file says: its own range would not help.
    """
    step = max(1, math.isqrt(grey.size // _SAMPLE_PX))
    here = ~absent[::step, ::step]
    seen, own = grey[::step, ::step][here], values[::step, ::step][here]
    between = np.count_nonzero((seen > 0) & (seen < 1))
    if between > seen.size // 100:
        levels = np.bincount((np.clip(seen, 0, 1) * 255).astype(np.uint8), minlength=256).cumsum()
        low, high = np.searchsorted(levels, (seen.size // 1000 + 1, seen.size - seen.size // 1000)).tolist()
        if high - low >= _BLACK:
            return True
    return len(np.unique(own)) < _FEW_GREYS


def check_no_window(window: int) -> None:
    """Raise BadValue for any window but the first: colour has no VOI."""
    _check_window(window, 0)


def _luts(source: Dataset, keyword: str) -> list[Dataset]:
    """Give the items that hold a table. One that holds only an explanation is left out."""
    return [item for item in items(source, keyword) if raw(item, "LUTData") is not None and "LUTDescriptor" in item]


def _lut(dataset: Dataset, item: Dataset) -> tuple[int, Pixels, int] | None:
    """Read the table of a sequence item; None where it is empty or contradicts itself."""
    data = raw(item, "LUTData")
    return None if data is None else _table(dataset, numbers(item, "LUTDescriptor"), data)


def _table(dataset: Dataset, descriptor: list[float], data: Any) -> tuple[int, Pixels, int] | None:
    """Give a table's first mapped value, its entries, and their bits (C.11.1.1, C.11.2.1.1, C.7.6.3.1.5)."""
    if len(descriptor) != 3 or not all(map(math.isfinite, descriptor)):
        return None
    entries, first, bits = (int(number) for number in descriptor)
    entries = entries % (1 << 16) or 1 << 16
    if first + entries > 1 << 16:
        first -= 1 << 16  # a negative number written as US
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        words = np.frombuffer(data, f"{order}u2", len(data) // 2).astype("<u2")
        data = words if words.size >= entries else words.view("u1")  # 8-bit entries are packed two to a word
    table = (np.atleast_1d(data)[:entries].astype(np.int64) & 0xFFFF).astype(np.float32)
    if not table.size:
        return None
    return first, table, max(min(bits, 16), int(table.max()).bit_length(), 1)


def _used_bits(stated: int, greatest: float, flags: set[str]) -> int:
    """Give the bits to read a table by: those that a detector's values take, where the table states too many.

    It states too many where its values end at a sixteenth of their range or below, which shows a black film, or at the
    very top of fewer bits, like 14-bit values stored as 16. Other tables may be dark on purpose.
    """
    used = next((bits for bits in _DETECTOR_BITS if greatest < 2**bits), 16)
    overstated = used < stated and greatest > 0
    if overstated and (2 ** (stated - used) >= _BLACK or greatest >= _FULL * (2**used - 1)):
        flags.add("lut_bits_overstated")
        return used
    return stated


def _look_up(values: Pixels, first: int, table: Pixels) -> Pixels:
    index = np.clip(np.rint(np.nan_to_num(values)) - first, 0, len(table) - 1)
    found: Pixels = table[index.astype(np.intp)]
    return found


def luma(dataset: Dataset, stored: Pixels, absent: NDArray[np.bool_], bits: int, flags: set[str]) -> Pixels:
    """Turn colour, which has no VOI, into grey by ITU-R 601 luma in fixed point, exactly as Pillow does.

    Colours of more than 8 bits may be 12 bits of a detector in 16, so they are read over the film's own range.
    """
    painted = dataset.PhotometricInterpretation == "PALETTE COLOR"
    if painted:
        stored, bits = _painted(dataset, stored, flags)
    if stored.ndim == 3:
        red, green, blue = np.moveaxis(stored.astype(np.uint32 if bits <= 16 else np.uint64), -1, 0)
        stored = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    if bits > 8 and not painted:
        flags.add(ASSUMED_RANGE)
        return unstated(stored, absent)
    return stored.astype(np.float32) / np.float32(2**bits - 1)


def _painted(dataset: Dataset, stored: Pixels, flags: set[str]) -> tuple[Pixels, int]:
    """Look up palette indices: colours (H, W, 3) and their bits (C.7.6.3.1.5, C.7.6.3.1.6; segmented: C.7.9.2)."""
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        count, first, _ = map(int, numbers(dataset, f"{names[0]}Descriptor"))
        indices = np.arange(count or 1 << 16, dtype=np.int64) + first
        whole = apply_color_lut(indices, dataset)[..., :3]
        bits = whole.dtype.itemsize * 8
        tables = [(first, whole[:, channel].astype(np.float32), bits) for channel in range(3)]
    else:
        tables = []
        for number, name in enumerate(names, 1):
            data = raw(dataset, f"{name}Data")
            table = None if data is None else _table(dataset, numbers(dataset, f"{name}Descriptor"), data)
            if table is None:
                lacking = f"(0028,120{number}), or its descriptor (0028,110{number})"
                raise BrokenFilm(f"expected a palette, the header lacks the usable table {lacking}")
            tables.append(table)
    bits = _used_bits(max(table[2] for table in tables), max(float(table[1].max()) for table in tables), flags)
    return np.stack([_look_up(stored, *table[:2]) for table in tables], axis=-1), bits


def macro(dataset: Dataset, index: int, keyword: str) -> Dataset:
    """Find a functional group macro: the frame's, else the shared one, else the image's own elements (C.7.6.16)."""
    per_frame = items_of(dataset, "PerFrameFunctionalGroupsSequence")
    shared = items_of(dataset, "SharedFunctionalGroupsSequence")
    for group in (*per_frame[index : index + 1], *shared[:1]):
        for item in items(group, keyword):
            return item
    return dataset


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Give all items of a sequence, empty ones too, where an item's place counts."""
    return list(raw(dataset, keyword) or ())
