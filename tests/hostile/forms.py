"""Whole HTTP requests whose form, and not only whose film, is wrong (RFC 9110, RFC 7578)."""

from collections.abc import Iterator

from tests.hostile import png
from tests.hostile.case import OK, SILENCE, Case, named

BOUNDARY = b"----film"
FORM = b"multipart/form-data; boundary=" + BOUNDARY
NO_HTTP = "no_http"
"""What the server, which no request has reached, answers on its own: 400 in a word."""

MOVED, BODILESS = "moved", "bodiless"
"""A redirection; an answer to HEAD."""

NOT_READ = ("bad_form", "bad_request", "invalid_request")


def part(
    data: bytes = png.GOOD, name: bytes = b'name="file"', filename: bytes = b'; filename="PLANTED.png"', **more: bytes
) -> bytes:
    headers = b"".join(b"\r\n" + key.replace("_", "-").encode() + b": " + value for key, value in more.items())
    return (
        b"--"
        + BOUNDARY
        + b"\r\nContent-Disposition: form-data; "
        + name
        + filename
        + headers
        + b"\r\n\r\n"
        + data
        + b"\r\n"
    )


def form(*parts: bytes, end: bytes = b"--" + BOUNDARY + b"--\r\n") -> bytes:
    return b"".join(parts) + end


def request(
    body: bytes | None = None,
    kind: bytes | None = FORM,
    *headers: bytes,
    target: bytes = b"/detect",
    method: bytes = b"POST",
    length: bytes | None = b"",
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """Write a request; a length of one's own is a lie, None leaves it out."""
    body = form(part()) if body is None else body
    lines = [method + b" " + target + b" " + version, b"Host: 127.0.0.1", b"Connection: close", *headers]
    if kind is not None:
        lines.append(b"Content-Type: " + kind)
    if length is not None:
        lines.append(b"Content-Length: " + (length or b"%d" % len(body)))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _bodies() -> Iterator[tuple[str, Case]]:
    yield "a film", Case(request(), OK)
    for name, kind in {
        "no content type": None,
        "an empty content type": b"",
        "JSON": b"application/json",
        "a form of another kind": b"application/x-www-form-urlencoded",
        "a mixed body": b"multipart/mixed; boundary=" + BOUNDARY,
        "no boundary": b"multipart/form-data",
        "an empty boundary": b"multipart/form-data; boundary=",
        "another boundary": b"multipart/form-data; boundary=other",
        "a boundary of 10 kB": b"multipart/form-data; boundary=" + b"x" * 10_000,
        "a boundary of no ASCII": b"multipart/form-data; boundary=\xff\xfe",
        "a boundary in half a quote": b'multipart/form-data; boundary="' + BOUNDARY,
        "two boundaries": b"multipart/form-data; boundary=other; boundary=" + BOUNDARY,
        "a character set that is none": FORM + b"; charset=PLANTED",
        "a character set of another world": FORM + b"; charset=utf-16",
        "a character set that decodes no bytes": FORM + b"; charset=rot13",
        "a picture": b"image/png",
        "a film of DICOM": b"application/dicom",
    }.items():
        yield f"content type: {name}", Case(request(kind=kind), *NOT_READ, OK)
    for name, body in {
        "nothing": b"",
        "the film without a form": png.GOOD,
        "an end alone": form(),
        "an end and no start": b"--\r\n",
        "line feeds": b"\r\n" * 1000,
        "no end": form(part(), end=b""),
        "half an end": form(part(), end=b"--" + BOUNDARY),
        "a part without headers": form(b"--" + BOUNDARY + b"\r\n\r\n" + png.GOOD + b"\r\n"),
        "a part without a disposition": form(b"--" + BOUNDARY + b"\r\nContent-Type: image/png\r\n\r\nx\r\n"),
        "a part without an end of headers": form(b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data"),
        "a part of another disposition": form(part().replace(b"form-data;", b"attachment;")),
        "a header without a colon": form(b"--" + BOUNDARY + b"\r\nPLANTED\r\n\r\nx\r\n"),
        "a header of 0": form(b"--" + BOUNDARY + b"\r\n\0: \0\r\n\r\nx\r\n"),
        "a header of 10 kB": form(part(X_Long=b"x" * 10_000)),
        "a header of a megabyte": form(part(X_Long=b"x" * (1 << 20))),
        "1,000 headers in a part": form(part(**{f"X_{n}": b"x" for n in range(1000)})),
        "line feeds without returns": form(part()).replace(b"\r\n", b"\n"),
        "a form in a form": form(part(form(part()), Content_Type=b"multipart/mixed; boundary=inner")),
        "text before the form": b"PLANTED\r\n" + form(part()),
        "text behind the form": form(part()) + b"PLANTED" * 999,
        "base64": form(part(b"iVBORw0KGgo=", Content_Transfer_Encoding=b"base64")),
        "gzip": form(part(Content_Encoding=b"gzip")),
        "1,000 empty parts": form(*[part(b"", b'name="x"', b"")] * 1000),
        "1,000 files": form(*[part(b"x")] * 1000),
        "17 films": form(*[part()] * 17),
        "a field of 2 MB": form(part(b"x" * (2 << 20), b'name="note"', b""), part()),
        "10,000 starts": (b"--" + BOUNDARY + b"\r\n") * 10_000,
    }.items():
        yield f"body: {name}", Case(request(body), *NOT_READ, OK, "empty_file", "too_many_files", "unsupported_format")
    for name, field in {
        "another name": b'name="film"',
        "no name": b'x="file"',
        "an empty name": b'name=""',
        "a name in capitals": b'name="FILE"',
        "a name of 5,000 characters": b'name="' + b"f" * 5000 + b'"',
        "a name with a null byte": b'name="file\0"',
        "a name with brackets": b'name="file[]"',
        "a name that is a tag": b'name="<script>PLANTED</script>"',
    }.items():
        yield f"field of {name}", Case(request(form(part(name=field))), *NOT_READ, "unexpected_file")
    yield "a field and no file", Case(request(form(part(filename=b""))), *NOT_READ)
    yield "a file in another field too", Case(request(form(part(), part(name=b'name="other"'))), "unexpected_file")
    yield "two films", Case(request(form(part(), part())), OK)
    yield "a film and nothing", Case(request(form(part(), part(b""))), OK)
    yield "nothing, twice", Case(request(form(part(b""), part(b""))), "empty_file")
    for name, study in {
        "twice": b"one",
        "of a path": b"../../PLANTED",
        "of 65 characters": b"s" * 65,
        "of a tag": b"<b>PLANTED",
    }.items():
        fields = [part(study, b'name="study_id"', b"")] * (2 if name == "twice" else 1)
        yield f"a study {name}", Case(request(form(part(), *fields)), OK if name == "twice" else "invalid_request")
    yield "a study that is a file", Case(request(form(part(), part(b"s", b'name="study_id"'))), "unexpected_file")
    for name, filename in {
        "none": b"",
        "empty": b'; filename=""',
        "a null byte": b'; filename="PLANTED\0.png"',
        "a line feed": b'; filename="PLANTED\nX-Injected: yes"',
        "a return and a line feed": b'; filename="PLANTED\r\nX-Injected: yes"',
        "an encoded line feed": b'; filename="PLANTED%0d%0aX-Injected: yes"',
        "5,000 characters": b'; filename="' + b"PLANTED" * 714 + b'"',
        "from right to left": b'; filename="\xe2\x80\xaegnp.PLANTED"',
        "a path": b'; filename="../../../etc/PLANTED"',
        "a Windows path": b'; filename="C:\\\\PLANTED\\\\..\\\\con"',
        "a tag": b'; filename="<img src=x onerror=PLANTED>"',
        "a template": b'; filename="{{7*7}}${PLANTED}"',
        "no UTF-8": b'; filename="PLANTED\xff\xfe"',
        "RFC 5987": b"; filename*=UTF-8''PLANTED%00.png",
        "RFC 5987 of no character set": b"; filename*=PLANTED''x",
        "two names": b'; filename="PLANTED.png"; filename="PLANTED.exe"',
        "half a quote": b'; filename="PLANTED',
        "a device": b'; filename="/dev/stdin"',
        "a command": b'; filename="$(touch PLANTED)"',
    }.items():
        codes = (OK, *NOT_READ)
        yield f"file name: {name}", Case(request(form(part(filename=filename))), *codes)
        yield (
            f"file name: {name}, no film",
            Case(request(form(part(b"no film", filename=filename))), *NOT_READ, "unsupported_format"),
        )


def _targets() -> Iterator[tuple[str, Case]]:
    for query in (
        *(b"mode=", b"mode=nonsense", b"mode=balanced%00", b"mode=../../x", b"mode=" + b"x" * 5000, b"mode=%ff%fe"),
        *(b"conf=NaN", b"conf=inf", b"conf=-inf", b"conf=-0.1", b"conf=1.1", b"conf=1e999", b"conf=", b"conf=0x1"),
        *(
            b"conf=0.5;0.6",
            b"conf=" + b"9" * 5000,
            b"conf=%F0%9D%9F%8E.5",
            b"conf=true",
            b"conf[]=1&mode=x",
            b"conf=0.1&mode=nonsense",
        ),
        *(b"lat=91&lng=0", b"lat=0&lng=181", b"lat=NaN&lng=NaN", b"lat=1", b"lng=1", b"lat=&lng=", b"lat=48&lng=16'--"),
        *(b"lat=1e400&lng=0", b"lat=" + b"1" * 5000 + b"&lng=0", b"format=exe", b"format=", b"format=PNG"),
    ):
        made = request(target=b"/detect?" + query)
        codes = {OK} if query == b"conf[]=1&mode=balanced" else {"bad_value", "invalid_request"}
        yield f"query: {query.decode('latin-1')[:40]}", Case(made, *codes)
    for query in (
        b"conf=0.1&conf=0.9",
        b"unknown=PLANTED",
        b"&&&===",
        b"%",
        b"mode=balanced&mode=screening",
        b"conf=0&x=" + b"x" * 5000,
    ):
        yield f"query: {query.decode()[:40]}", Case(request(target=b"/detect?" + query), OK, "invalid_request")
    yield "query: a picture", Case(request(target=b"/detect?format=png"), OK)
    for target in (
        b"/render?frame=-1",
        b"/render?frame=NaN",
        b"/render?frame=99999999999999999999",
        b"/render?frame=1",
    ):
        yield f"{target.decode()}", Case(request(target=target), "invalid_request", "bad_value")
    yield "/render of two films", Case(request(form(part(), part()), target=b"/render"), "too_many_files", *NOT_READ)
    yield (
        "/render of a bomb",
        Case(request(form(part(png.CASES["32000 x 32000"].data)), target=b"/render"), "film_too_large"),
    )
    for target in (
        *(b"/detect/", b"/DETECT", b"//detect", b"/../detect", b"/%2e%2e/etc/passwd", b"/detect%00", b"/detect\xff"),
        *(b"/" + b"x" * 5000, b"/viewer/../../settings.py", b"/static/%2e%2e/%2e%2e/app/settings.py", b"/detect#x"),
    ):
        name = target.decode("latin-1")[:30]
        yield (
            f"address {name}",
            Case(request(target=target), "not_found", "method_not_allowed", "refused", MOVED, NO_HTTP, OK),
        )
    for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"BREW", b"post"):
        yield f"method {method.decode()}", Case(request(method=method), "method_not_allowed", BODILESS, NO_HTTP)


def _transports() -> Iterator[tuple[str, Case]]:
    whole = form(part())
    cut = (SILENCE, NO_HTTP, *NOT_READ)
    for name, made, codes in (
        ("a length too great", request(length=b"%d" % (len(whole) + 999)), cut),
        ("a length too small", request(length=b"%d" % (len(whole) - 999)), (*cut, OK, "broken_film")),
        ("a length of 0", request(length=b"0"), NOT_READ),
        ("a length below 0", request(length=b"-1"), (NO_HTTP,)),
        ("a length that is none", request(length=b"PLANTED"), (NO_HTTP,)),
        ("a length of 10^30", request(length=b"1" + b"0" * 30), (NO_HTTP, "upload_too_large")),
        ("a length of a terabyte", request(length=b"1" + b"0" * 12), ("upload_too_large",)),
        ("two lengths", request(None, FORM, b"Content-Length: 5"), (NO_HTTP, *NOT_READ)),
        ("no length", request(length=None), (*NOT_READ, SILENCE)),
        ("no length and no body", request(b"", None, length=None), NOT_READ),
        (
            "a length and chunks",
            request(chunked(whole), FORM, b"Transfer-Encoding: chunked", length=b"5"),
            (NO_HTTP, OK),
        ),
        ("chunks", request(chunked(whole), FORM, b"Transfer-Encoding: chunked", length=None), (OK,)),
        (
            "chunks of a byte",
            request(
                chunked(*(whole[at : at + 1] for at in range(len(whole)))),
                FORM,
                b"Transfer-Encoding: chunked",
                length=None,
            ),
            (OK,),
        ),
        ("chunks without an end", request(chunked(whole)[:-5], FORM, b"Transfer-Encoding: chunked", length=None), cut),
        ("chunks of lies", request(b"fffffff\r\n" + whole, FORM, b"Transfer-Encoding: chunked", length=None), cut),
        ("chunks of nonsense", request(b"PLANTED\r\n" + whole, FORM, b"Transfer-Encoding: chunked", length=None), cut),
        (
            "an unknown encoding",
            request(whole, FORM, b"Transfer-Encoding: PLANTED", length=None),
            (*cut, "not_implemented"),
        ),
        ("a body that is gzip", request(whole, FORM, b"Content-Encoding: gzip"), (OK, *NOT_READ)),
        ("a header of 10 kB", request(None, FORM, b"X-Long: " + b"x" * 10_000), (OK, NO_HTTP)),
        ("a header of a megabyte", request(None, FORM, b"X-Long: " + b"x" * (1 << 20)), (OK, NO_HTTP, SILENCE)),
        ("1,000 headers", request(None, FORM, *(b"X-%d: PLANTED" % n for n in range(1000))), (OK, NO_HTTP)),
        ("a header with a null byte", request(None, FORM, b"X-Null: a\0b"), (OK, NO_HTTP)),
        ("a header that is folded", request(None, FORM, b"X-Folded: a\r\n b"), (OK, NO_HTTP)),
        ("a header without a name", request(None, FORM, b": PLANTED"), (OK, NO_HTTP)),
        ("an expectation", request(None, FORM, b"Expect: 100-continue"), (OK,)),
        ("an upgrade", request(None, FORM, b"Upgrade: websocket", b"Connection: Upgrade"), (OK, NO_HTTP)),
        ("a request id of one's own", request(None, FORM, b"X-Request-ID: PLANTED\t<b>"), (OK,)),
        ("an unknown key", request(None, FORM, b"X-API-Key: PLANTED-" + b"k" * 99), ("key_unknown",)),
        ("a key of no ASCII", request(None, FORM, b"X-API-Key: \xff\xfe"), ("key_unknown",)),
        ("a word of a proxy", request(None, FORM, b"X-Forwarded-For: PLANTED"), ("key_missing",)),
        (
            "a page elsewhere",
            request(None, FORM, b"Origin: https://PLANTED.example", b"Referer: PLANTED"),
            (OK, "key_missing"),
        ),
        ("a range", request(None, FORM, b"Range: bytes=0-1,5-PLANTED"), (OK,)),
        ("an Accept of nonsense", request(None, FORM, b"Accept: " + b"PLANTED/*;q=x," * 99), (OK,)),
        ("HTTP/1.0", request(version=b"HTTP/1.0"), (OK, "key_missing")),
        ("HTTP/9.9", request(version=b"HTTP/9.9"), (OK, NO_HTTP)),
        ("no version", b"POST /detect\r\n\r\n", (NO_HTTP, SILENCE)),
        ("a start of TLS", b"\x16\3\1\2\0\1\0\1\xfc\3\3" + bytes(500), (NO_HTTP, SILENCE)),
        ("a start of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (NO_HTTP, SILENCE, "not_found")),
        ("zeros", bytes(9999), (NO_HTTP, SILENCE)),
        ("a DICOM association", b"\1\0\0\0\0\xcd\0\1\0\0PLANTED", (NO_HTTP, SILENCE)),
        ("nothing", b"", (SILENCE,)),
        ("half a header", request()[:40], (SILENCE, NO_HTTP)),
        ("two requests in one", request().replace(b"Connection: close\r\n", b"") * 2, (OK,)),
    ):
        yield f"HTTP: {name}", Case(made, *codes)


CASES = named(_bodies(), _targets(), _transports())
