"""What a browser gets: the page at /, films to try, and the interface's description at /docs, from no other host."""

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html

from fracture.data import samples

_SWAGGER_JS, _SWAGGER_CSS = "swagger-ui-bundle.js", "swagger-ui.css"
VIEWER = Path(__file__).parents[1] / "viewer"

# The machine's own table of types is not used: browsers run no module of another type than JavaScript's.
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_TYPES |= {".json": "application/json", ".png": "image/png"}

VIEWER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def install(app: FastAPI) -> None:
    """Serve the page at /, the films to try below /samples and the interface's description at /docs."""
    swagger = Path(str(resources.files("fastapi_offline"))) / "static"
    _serve(app, "/", VIEWER / "index.html")
    for file in VIEWER.iterdir():
        if file.suffix in _TYPES:
            _serve(app, f"/{file.name}", file)
    for name in samples.FILES:
        _serve(app, f"/samples/{name}", samples.FOLDER / name)
    for name in (_SWAGGER_JS, _SWAGGER_CSS):
        _serve(app, f"/docs/{name}", swagger / name)
    _answer(app, "/docs", _docs(app))


def _serve(app: FastAPI, address: str, file: Path) -> None:
    headers = {"Content-Security-Policy": VIEWER_POLICY}
    _answer(app, address, Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers=headers))


def _answer(app: FastAPI, address: str, answer: Response) -> None:
    async def page() -> Response:
        return answer

    app.add_api_route(address, page, include_in_schema=False)


def _docs(app: FastAPI) -> Response:
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{app.title}: interface",
        swagger_js_url=f"docs/{_SWAGGER_JS}",
        swagger_css_url=f"docs/{_SWAGGER_CSS}",
        swagger_favicon_url="icon.svg",
    )
    # Swagger UI writes its own styles. Its page holds one inline script, and no other is allowed.
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page
