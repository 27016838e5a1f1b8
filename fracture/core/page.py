"""What every page for a person shares: one file, no network, phone or paper, light or dark.

A page is a Jinja2 template that extends ``base.html.j2`` and gets plain data; what is not markup is escaped there.
"""

import base64
from html import escape
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from numpy.typing import NDArray

_SHARED = ("base.html.j2", "macros.html.j2", "page.css")


def render(folder: Path, names: tuple[str, ...], **content: object) -> str:
    """Give the page of the first template of ``names``, which lie in ``folder`` beside the code that names them.

    No other file is used but those that all pages share. So the code of a result, which counts what is named, is all.
    """
    files = {name: Path(__file__).with_name(name) for name in _SHARED} | {name: folder / name for name in names}

    def load(name: str) -> tuple[str, str, None] | None:
        return (files[name].read_text(encoding="utf-8"), str(files[name]), None) if name in files else None

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"thousands": "{:,}".format, "plural": plural}
    return environment.get_template(names[0]).render(content)


def plural(number: int, thing: str) -> str:
    """Count things in words."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def film_svg(pixels: NDArray[np.float32], long_side_px: int, quality: int, name: str, marks: str) -> str:
    """Draw a film, (H, W) in [0, 1], as inline SVG in the film's own pixels, its JPEG no longer than ``long_side_px``.

    ``name`` is text, ``marks`` the SVG that goes over the film.
    """
    height, width = pixels.shape
    scale = min(1.0, long_side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.rint(pixels * 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    jpeg = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()).decode()
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'
        f'<image href="data:image/jpeg;base64,{jpeg}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f"{marks}</svg>"
    )
