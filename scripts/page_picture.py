"""Draw docs/page.png: the service's page with a film to try, as a browser (chromium) shows it."""

import sys
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from bench.processes import free_port, started
    from fracture.data.samples import FOLDER

WIDTH_PX, HEIGHT_PX = 1200, 860


@command
def main() -> int:
    """Parse flags, start the service, show its page a film, write the picture."""
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/page.png"), help="the picture to write")
    parser.add_argument("--film", type=Path, default=FOLDER / "leg-2.png", help="the film to show")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="the browser's program")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    port = free_port()
    settings = {"FRACTURE_PORT": str(port), "FRACTURE_AUTH": "off"}
    with started([sys.executable, "-m", "app"], port, "/readyz", settings), sync_playwright() as running:
        browser = running.chromium.launch(executable_path=args.browser, args=["--disable-gpu", "--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(f"http://127.0.0.1:{port}/")
        named = {"name": args.film.name, "mimeType": "image/png", "buffer": args.film.read_bytes()}
        page.set_input_files("#choose", named)
        page.locator("#status:not([data-status=''])").wait_for()  # the page's policy lets no text be evaluated
        args.out.write_bytes(page.screenshot())
        browser.close()
    print(f"written: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
