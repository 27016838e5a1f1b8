"""What every page for a person shares: one file, no network, phone or paper, light or dark."""

import base64
from collections.abc import Iterable
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

STYLE = """
:root { color-scheme: light dark; --ink:#1b2127; --soft:#5b6670; --paper:#fff; --card:#f4f6f8; --line:#dbe1e6;
  --bad:#b3261e; --badbg:#fdecea; --good:#1b6e3c; --goodbg:#e8f5ec; --warn:#8a5a00; --warnbg:#fff3dc; --mark:#1f6feb; }
@media screen and (prefers-color-scheme: dark) { :root { --ink:#e6eaee; --soft:#9aa6b1; --paper:#14181c; --card:#1d2328;
  --line:#333c44; --bad:#ff8a80; --badbg:#3a1917; --good:#7fd39b; --goodbg:#14301e; --warn:#f2c063; --warnbg:#35280f;
  --mark:#6ea8ff; } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
  "DejaVu Sans",sans-serif }
main { max-width:1120px; margin:0 auto; padding:28px 20px 60px }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 .6em; overflow-wrap:anywhere }
h2 { font-size:1.3rem; margin:2.2em 0 .6em; padding-top:.6em; border-top:1px solid var(--line) }
h3 { font-size:1.08rem; margin:0 0 .2em }
p { margin:.3em 0 .8em; max-width:72ch }
a { color:var(--mark) }
small, .more, footer, .over { color:var(--soft) }
.over { margin:0; letter-spacing:.06em; text-transform:uppercase; font-size:.78rem }
.verdict { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:baseline; padding:16px 20px; border-radius:10px;
  border-left:6px solid currentColor }
.verdict strong { font-size:1.5rem } .verdict span { color:var(--ink) }
.bad { color:var(--bad); background:var(--badbg) } .good { color:var(--good); background:var(--goodbg) }
.plain { color:var(--soft); background:var(--card) }
.cards { display:grid; grid-template-columns:repeat(auto-fill,minmax(128px,1fr)); gap:8px; margin-bottom:18px }
.cards div { background:var(--card); border-radius:8px; padding:8px 12px; color:var(--soft); font-size:.85rem }
.cards b { display:block; font-size:1.25rem; color:var(--ink); font-variant-numeric:tabular-nums }
.scroll { overflow-x:auto; margin-bottom:16px }
table { border-collapse:collapse; font-size:.9rem; font-variant-numeric:tabular-nums }
th, td { padding:4px 12px 4px 0; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap }
th:first-child { text-align:left; font-weight:600; max-width:22em; overflow:hidden; text-overflow:ellipsis }
tr:first-child th { color:var(--soft); font-weight:400 }
.sheet { display:grid; grid-template-columns:repeat(auto-fill,minmax(250px,1fr)); gap:12px }
figure { margin:0; padding:8px; align-self:start; background:var(--card); border-radius:8px; break-inside:avoid }
.film svg { display:block; width:100%; background:#000; border-radius:4px }
figcaption { font-size:.82rem; padding-top:4px; overflow-wrap:anywhere }
ul { padding-left:1.2em; margin:.4em 0; font-size:.9rem; overflow-wrap:anywhere }
code { font-family:ui-monospace,"DejaVu Sans Mono",monospace; font-size:.86em }
footer { margin-top:40px; border-top:1px solid var(--line); padding-top:12px; font-size:.85rem }
@media (max-width:560px) { main { padding:18px 14px 40px } h1 { font-size:1.5rem }
  .sheet { grid-template-columns:1fr } .verdict { padding:12px 14px }
  th, td { padding-right:9px } table { font-size:.82rem } }
@media print { * { print-color-adjust:exact; -webkit-print-color-adjust:exact }
  :root { --ink:#000; --soft:#444; --paper:#fff; --card:#f3f3f3; --line:#ccc } main { max-width:none; padding:0 }
  body { font-size:11px } .scroll { overflow:visible } h3, h2 { break-after:avoid } a { color:inherit } }
"""


def document(title: str, style: str, parts: Iterable[str]) -> str:
    """Give a whole html file. ``title`` is text; ``style`` follows the shared look; ``parts`` are html."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def verdict(look: str, head: str, text: str) -> str:
    """Give a coloured box: ``look`` is "good", "bad" or "plain", ``head`` and ``text`` are html."""
    return f'<div class="verdict {look}"><strong>{head}</strong><span>{text}</span></div>'


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
