"""What a browser gets: files of a fixed list, under a policy that lets nothing else in."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from fracture.data import samples
from fracture.service.http.pages import VIEWER

SCRIPTS = (
    *("api", "card", "clinics", "correct", "dom", "film", "formats", "gestures", "key", "labels", "looks", "marks"),
    *("measure", "media", "modes", "others", "pencil", "samples", "save", "tools", "viewer", "words"),
)
TYPES = {
    "/": "text/html; charset=utf-8",
    "/index.html": "text/html; charset=utf-8",
    "/viewer.css": "text/css; charset=utf-8",
    "/icon.svg": "image/svg+xml",
    **dict.fromkeys((f"/{name}.js" for name in SCRIPTS), "text/javascript; charset=utf-8"),
}
_FILM_TYPES = {".png": "image/png", ".json": "application/json"}
FILMS = {f"/samples/{name}": _FILM_TYPES[Path(name).suffix] for name in samples.FILES}
DOCS = {
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}


def policy(answer):
    directives = answer.headers["content-security-policy"].split("; ")
    return {name: sources for name, _, sources in (directive.partition(" ") for directive in directives)}


@pytest.mark.parametrize("path", [*TYPES, *DOCS, *FILMS])
def test_a_file_of_the_page(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == (TYPES | DOCS | FILMS)[path]
    assert policy(answer) == {
        "default-src": "'none'",
        **dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"),
        **dict.fromkeys(("form-action", "base-uri", "frame-ancestors"), "'none'"),
        "require-trusted-types-for": "'script'",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    if path in TYPES:
        assert answer.content == (VIEWER / (path[1:] or "index.html")).read_bytes()


def test_the_list_of_files_is_whole(client):
    named = {f"/{file.name}" for file in VIEWER.iterdir() if file.suffix in {".html", ".css", ".js", ".svg"}}
    assert named | {"/"} == set(TYPES)


@pytest.mark.parametrize(
    "path",
    [
        *("/redoc", "/docs/oauth2-redirect", "/docs/", "/viewer", "/viewer/index.html", "/settings.py", "/__init__.py"),
        *("/%2e%2e/settings.py", "/..%2fsettings.py", "/viewer.js/", "/viewer.js%00", "/docs/index.html"),
    ],
)
def test_nothing_else_is_there(client, path):
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code in {307, 404}
    assert client.get(path).status_code in {200, 404}  # 200: at the address without its last slash
    assert policy(answer) == {"default-src": "'none'", "frame-ancestors": "'none'"}


def test_a_file_beside_the_page_is_not_served(serve, monkeypatch, tmp_path):
    for file in VIEWER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() if file.is_file() else b"")
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", ".viewer.js.swp", "viewer.js~", "film.dcm"):
        (tmp_path / name).write_text("of nobody's business")
    monkeypatch.setattr("fracture.service.http.pages.VIEWER", tmp_path)
    client = serve()
    assert client.get("/viewer.js").status_code == 200
    for name in ("folder", "notes.txt", ".viewer.js.swp", "viewer.js~", "film.dcm"):
        assert client.get(f"/{name}").status_code == 404


def test_the_page_names_no_other_host_and_holds_no_script():
    for file in VIEWER.iterdir():
        text = file.read_text()
        links = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert not links, file.name
    page = (VIEWER / "index.html").read_text()
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_the_interface_is_shown_without_any_other_host(client):
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", answer.text) + re.findall(r"url: '([^']+)'", answer.text)
    assert sorted(loaded) == ["docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "icon.svg", "openapi.json"]
    assert {client.get(f"/{address}").status_code for address in loaded} == {200}
    assert "://" not in re.sub(r"<!--.*?-->", "", answer.text, flags=re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    said = policy(answer)
    assert said["script-src"] == f"'self' 'sha256-{digest}'"
    assert (said["default-src"], said["frame-ancestors"], said["connect-src"]) == ("'none'", "'none'", "'self'")


def test_a_part_of_a_file_asked_for_spoils_nothing(client):
    whole = client.get("/viewer.js").content
    for asked in ("bytes=0-9", "bytes=5-", "bytes=999999-", "bytes=a", "bytes=0-1,4-5"):
        assert client.get("/viewer.js", headers={"Range": asked}).status_code == 200
    assert client.get("/viewer.js").content == whole


@pytest.mark.parametrize("path", ["/", "/viewer.js", "/docs", "/livez", "/readyz", "/health", "/openapi.json"])
def test_head_is_answered_as_get_is(client, path):
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length", "content-security-policy")
    assert [head.headers.get(name) for name in same] == [get.headers.get(name) for name in same]
    assert client.head("/detect").status_code == 405


def test_the_document_of_the_interface(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        *("/detect", "/render", "/model", "/health", "/livez", "/readyz", "/metrics", "/settings"),
        *("/feedback", "/feedback/coco", "/feedback/films/{sha256}"),
    }
    for path, operations in document["paths"].items():
        (operation,) = operations.values()
        keyed = path not in {"/livez", "/readyz"}
        assert ("security" in operation) == keyed
        assert ({"401", "429"} <= set(operation["responses"])) == keyed
        assert ("403" in operation["responses"]) == (path in {"/metrics", "/settings"} or path.startswith("/feedback"))
        for status, response in operation["responses"].items():
            if status != "200":
                assert list(response["content"]) == ["application/problem+json"], (path, status)
                schema = response["content"]["application/problem+json"]["schema"]
                assert {"type", "title", "status", "detail", "code"} == set(schema["required"])
    detect = document["paths"]["/detect"]["post"]
    assert {parameter["name"] for parameter in detect["parameters"]} == {"mode", "conf", "lat", "lng", "format"}
    assert set(detect["responses"]["200"]["content"]) == {"application/json", "image/png"}
    assert set(document["paths"]["/render"]["post"]["responses"]["200"]["content"]) == {"image/png"}
