"""Who is let in: keys and their roles, this very machine, and how often; and that no key is ever seen again."""

import logging
import time

import pytest
from starlette.requests import Request

from fracture.core.errors import BadValue
from fracture.service.http.access import Access, Role
from fracture.service.http.problems import RequestRefused
from fracture.service.http.settings import Settings

KEYS = {role: f"{role}-" + "k" * 20 for role in ("viewer", "operator", "admin")}
LISTED = ",".join(f"{role}:{key}" for role, key in KEYS.items())
LEAST = {
    **dict.fromkeys(("/livez", "/readyz", "/", "/docs", "/openapi.json"), None),
    **dict.fromkeys(("/health", "/model"), "viewer"),
    "/metrics": "operator",
    "/settings": "admin",
}
HERE = ("127.0.0.1", "127.0.0.1")


def request(ends=HERE, version="1.1", **headers):
    client, server = ends
    named = {"host": "localhost:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        {
            "type": "http",
            "http_version": version,
            "client": client and (client, 50_000),
            "server": server and (server, 8000),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None],
        }
    )


def refusal(asked, key=None, least=Role.VIEWER, **settings):
    """Give the code of the refusal, None where the caller is let in."""
    return refusal_of(Access(Settings(**settings)), asked, key, least)


def refusal_of(access, asked, key=None, least=Role.VIEWER):
    try:
        access.admit(asked, key, least)
    except RequestRefused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("ends", [HERE, ("127.0.0.9", "127.0.0.1"), ("::1", "::1")])
@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_this_very_machine_needs_no_key(ends, host):
    assert refusal(request(ends, host=host), least=Role.ADMIN) is None


@pytest.mark.parametrize(
    "ends",
    [
        ("192.0.2.7", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1"),
        ("2001:db8::7", "::1"),
        ("testclient", "127.0.0.1"),
        (None, "/run/fracture.sock"),
        (None, None),
        ("127.0.0.1", None),
    ],
)
def test_everybody_else_does(ends):
    assert refusal(request(ends)) == "key_missing"


@pytest.mark.parametrize(
    "host",
    [None, "", "fracture.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.nip.example", "[::2]"],
)
def test_a_name_that_a_stranger_gave_this_machine_needs_a_key(host):
    assert refusal(request(host=host)) == "key_missing"


def test_names_of_its_own_are_taken():
    assert refusal(request(host="Films.Example:8000"), fracture_hosts="films.example, other") is None
    assert refusal(request(host="other"), fracture_hosts="films.example, other") is None


@pytest.mark.parametrize(
    "name",
    [
        "forwarded",
        "via",
        "x_real_ip",
        "x_forwarded_for",
        "x_forwarded_host",
        "x_forwarded_proto",
        "X_Forwarded_For",
        "cf_connecting_ip",
        "true_client_ip",
        "x_forwarded",
        "x_original_forwarded_for",
        "x_client_ip",
        "client_ip",
        "x_proxyuser_ip",
        "proxy_connection",
        "x_originating_ip",
        "x_remote_addr",
        "x_forward_for",
        "fly_client_ip",
        "x_nf_client_connection_ip",
        "x_bluecoat_via",
        "x_sucuri_clientip",
        "tailscale_user_login",
        "max_forwards",
        "x_host",
    ],
)
def test_a_proxy_on_this_machine_speaks_for_others(name):
    assert refusal(request(**{name.lower(): "127.0.0.1"})) == "key_missing"


def test_what_clients_say_of_themselves_makes_them_no_proxy():
    """What browsers, curl and Python's clients send, and what programs add."""
    names = (
        "User-Agent Accept Accept-Encoding Accept-Language Connection Content-Type Content-Length Cookie Referer DNT "
        "Sec-CH-UA Sec-CH-UA-Platform Sec-Fetch-Site Sec-GPC Priority Pragma Cache-Control Upgrade-Insecure-Requests "
        "TE Expect Range If-None-Match Transfer-Encoding Traceparent X-Request-ID X-Requested-With X-B3-TraceId Baggage"
    )
    assert refusal(request(**dict.fromkeys(names.lower().split(), "1"))) is None


def test_a_proxy_that_says_nothing_is_known_by_its_old_protocol():
    assert refusal(request(version="1.0")) == "key_missing"


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:8000", None),
        ("https://viewer.example", None),
        ("http://localhost:9000", "key_missing"),
        ("https://evil.example", "key_missing"),
        ("null", "key_missing"),
        ("", "key_missing"),
    ],
)
def test_a_page_elsewhere_needs_a_key(origin, code):
    assert refusal(request(origin=origin), fracture_cors_origins="https://viewer.example") == code


@pytest.mark.parametrize(("auth", "local", "elsewhere"), [("on", "key_missing", "key_missing"), ("off", None, None)])
def test_keys_can_be_asked_of_all_or_none(auth, local, elsewhere):
    assert refusal(request(), fracture_auth=auth, fracture_api_keys=LISTED) == local
    assert refusal(request(("192.0.2.7", "192.0.2.1")), fracture_auth=auth) == elsewhere


@pytest.mark.parametrize("auth", ["auto", "on", "off"])
def test_a_wrong_key_is_never_taken(auth):
    assert refusal(request(), "k" * 30, fracture_auth=auth, fracture_api_keys=LISTED) == "key_unknown"
    assert refusal(request(), "k" * 30, fracture_auth=auth) == "key_unknown"


@pytest.mark.parametrize("path", LEAST)
def test_each_route_takes_its_role_and_those_above(serve, path):
    client = serve(elsewhere=True, fracture_api_keys=LISTED)
    ranks = [None, "viewer", "operator", "admin"]
    for rank, role in enumerate(ranks):
        response = client.get(path, headers={"X-API-Key": KEYS[role]} if role else {})
        enough = rank >= ranks.index(LEAST[path])
        assert response.status_code == (200 if enough else 403 if role else 401), (path, role)
        if not enough:
            assert response.headers["content-type"] == "application/problem+json"
            assert ("www-authenticate" in response.headers) == (role is None)
    assert client.get(path, headers={"X-API-Key": "k" * 30}).status_code == (401 if LEAST[path] else 200)


@pytest.mark.parametrize("path", ["/detect", "/render"])
def test_films_are_not_even_looked_at_without_a_key(serve, path, paint, picture):
    client = serve(elsewhere=True, fracture_api_keys=LISTED)
    film = {"file": picture(paint())}
    refused = client.post(path, files=film, params={"conf": "nonsense"})
    assert (refused.status_code, refused.json()["code"]) == (401, "key_missing")
    assert refused.headers["connection"] == "close"
    for headers in ({"X-API-Key": KEYS["viewer"]}, {"Authorization": f"bearer {KEYS['viewer']}"}):
        assert client.post(path, files=film, headers=headers).status_code == 200
    for headers in ({"Authorization": f"Basic {KEYS['viewer']}"}, {"X-API-Key": ""}, {"Authorization": "Bearer "}):
        assert client.post(path, files=film, headers=headers).json()["code"] == "key_missing"


def test_a_service_without_keys_says_so(serve):
    assert "none yet" in serve(elsewhere=True).get("/health").json()["detail"]
    assert "none yet" not in serve(elsewhere=True, fracture_api_keys=LISTED).get("/health").json()["detail"]


def test_no_key_is_ever_seen_again(serve, paint, picture, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    settings = Settings(fracture_api_keys=LISTED, google_maps_api_key="AIza-planted-key")
    said = [repr(settings), str(settings), settings.model_dump_json(), repr(vars(Access(settings)))]
    client = serve(
        elsewhere=True, fracture_api_keys=LISTED, fracture_clinics="off", google_maps_api_key="AIza-planted-key"
    )
    for path in (*LEAST, "/nowhere"):
        for key in (*KEYS.values(), KEYS["admin"] + "x"):
            for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
                answer = client.get(path, headers=headers)
                said += [answer.text, str(answer.headers)]
    answer = client.post("/detect", files={"file": picture(paint())}, headers={"X-API-Key": KEYS["viewer"]})
    said += [answer.text, str(answer.headers), caplog.text, *capfd.readouterr()]
    assert caplog.text
    assert answer.status_code == 200
    for key in (*KEYS.values(), "AIza-planted"):
        assert not [text for text in said if key in text]


def test_settings_say_of_secrets_that_they_are_set(serve):
    told = serve(fracture_api_keys=LISTED).get("/settings").json()
    assert (told["fracture_api_keys"], told["google_maps_api_key"]) == ("**********", None)
    assert told["fracture_max_files"] == 16
    assert set(told) == set(Settings.model_fields)


@pytest.mark.parametrize(
    "listed",
    [
        "viewer",
        "k" * 20,
        "viewer:" + "k" * 15,
        "viewer: " + "k" * 15,
        "doctor:" + "k" * 20,
        ":" + "k" * 20,
        "viewer:" + "ä" * 20,
        "viewer:" + "k" * 20 + "\x07",
        f"{LISTED},nonsense",
    ],
)
def test_a_list_of_keys_that_is_none_is_refused_without_quoting_it(listed):
    with pytest.raises(BadValue, match=r"FRACTURE_API_KEYS, entry [14]: expected role:key") as refused:
        Access(Settings(fracture_api_keys=listed))
    assert "kkk" not in str(refused.value)
    assert "nonsense" not in str(refused.value)


def test_a_key_has_one_role():
    with pytest.raises(BadValue, match="entry 2: expected another key") as refused:
        Access(Settings(fracture_api_keys="viewer:" + "k" * 20 + ",admin:" + "k" * 20))
    assert "kkk" not in str(refused.value)


def test_a_list_of_keys_may_stand_in_lines():
    listed = f" Viewer: {KEYS['viewer']} \n\n admin:{KEYS['admin']},\n"
    for role, code in (("viewer", "role_too_low"), ("admin", None)):
        assert refusal(request(), KEYS[role], Role.ADMIN, fracture_api_keys=listed) == code


def test_keys_may_lie_in_a_file_of_secrets(tmp_path):
    (tmp_path / "fracture_api_keys").write_text(LISTED + "\n")
    settings = Settings(_secrets_dir=tmp_path)
    Access(settings).admit(request(("192.0.2.7", "192.0.2.1")), KEYS["admin"], Role.ADMIN)


def test_too_many_requests_are_told_when_to_come_back(serve):
    client = serve(elsewhere=True, fracture_api_keys=LISTED, fracture_rate_per_minute=6)
    viewer, admin = ({"X-API-Key": KEYS[role]} for role in ("viewer", "admin"))
    assert client.get("/health", headers=viewer).status_code == 200
    refused = client.get("/health", headers=viewer)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) in {9, 10}
    assert "at most 6 requests a minute" in refused.json()["detail"]
    assert client.get("/health", headers=admin).status_code == 200  # another key, another share


def test_a_share_grows_back():
    access = Access(Settings(fracture_api_keys=LISTED, fracture_rate_per_minute=600))
    elsewhere = request(("192.0.2.7", "192.0.2.1"))

    def let_in():
        return refusal_of(access, elsewhere, KEYS["viewer"])

    answers = [let_in() for _ in range(200)]
    assert set(answers) == {None, "rate_limited"}
    assert answers.index("rate_limited") >= 60
    time.sleep(0.25)
    assert let_in() is None


def test_who_guesses_is_stopped_and_keeps_nobody_else_out(serve):
    client = serve(elsewhere=True, fracture_api_keys=LISTED, fracture_rate_per_minute=6)
    guesses = [client.get("/health", headers={"X-API-Key": f"guess number {n}"}).status_code for n in range(4)]
    assert guesses == [401, 429, 429, 429]
    assert client.get("/health").status_code == 429  # nor may the same address go on without
    assert client.get("/health", headers={"X-API-Key": KEYS["viewer"]}).status_code == 200


def test_many_addresses_together_guess_no_faster():
    access = Access(Settings(fracture_api_keys=LISTED, fracture_rate_per_minute=6))
    told = [
        refusal_of(access, request((f"198.51.{n}.7", "192.0.2.1")), f"a guess of a key, number {n}") for n in range(20)
    ]
    assert (told[0], told[-1]) == ("key_unknown", "rate_limited")
    assert told.count("key_unknown") <= 7
    stranger = request(("203.0.113.9", "192.0.2.1"))
    assert refusal_of(access, stranger, KEYS["viewer"]) is None
    assert refusal_of(access, stranger) == "key_missing"


def test_all_addresses_of_a_household_are_one_caller():
    access = Access(Settings(fracture_rate_per_minute=6))
    told = [refusal_of(access, request((f"2001:db8::{n}", "2001:db8:1::1"))) for n in range(1, 4)]
    assert told == ["key_missing", "rate_limited", "rate_limited"]
    assert refusal_of(access, request(("2001:db8:0:1::1", "2001:db8:1::1"))) == "key_missing"


@pytest.mark.parametrize("trusted", ["", "192.0.2.0/24", "192.0.2.7, 10.0.0.0/8"])
def test_what_a_proxy_says_counts_where_it_is_trusted(trusted):
    access = Access(Settings(fracture_rate_per_minute=6, fracture_trusted_proxies=trusted))
    told = [
        refusal_of(access, request(("192.0.2.7", "192.0.2.1"), x_forwarded_for=f"evil, 10.1.1.{n}, 203.0.113.{n}"))
        for n in range(3)
    ]
    assert told == ["key_missing"] * 3 if trusted else ["key_missing", "rate_limited", "rate_limited"]
    stranger = [
        refusal_of(access, request(("198.51.100.1", "192.0.2.1"), x_forwarded_for=f"203.0.113.{n}")) for n in (8, 9)
    ]
    assert stranger == ["key_missing", "rate_limited"]


@pytest.mark.parametrize(
    "wrote", ["203.0.113.{}:4711", "[2001:db8:{}::1]", "[2001:db8:{}::1]:4711", "::ffff:203.0.113.{}"]
)
def test_an_address_is_known_however_a_proxy_writes_it(wrote):
    """With its port, as some do, and from a proxy whose own address is IPv4 within IPv6."""
    access = Access(Settings(fracture_rate_per_minute=6, fracture_trusted_proxies="192.0.2.0/24"))
    told = [
        refusal_of(access, request(("::ffff:192.0.2.7", "192.0.2.1"), x_forwarded_for=wrote.format(n)))
        for n in (1, 2, 2)
    ]
    assert told == ["key_missing", "key_missing", "rate_limited"]


def test_this_machine_is_known_where_its_address_is_written_as_ipv6():
    assert refusal(request(("::ffff:127.0.0.1", "::ffff:127.0.0.1"))) is None
    assert refusal(request(("::ffff:192.0.2.7", "::ffff:127.0.0.1"))) == "key_missing"


def test_a_trusted_proxy_that_is_no_address_is_refused():
    with pytest.raises(BadValue, match="FRACTURE_TRUSTED_PROXIES: expected addresses or networks, got 'proxy'"):
        Access(Settings(fracture_trusted_proxies="proxy"))


def test_of_many_callers_the_latest_are_remembered(monkeypatch):
    monkeypatch.setattr("fracture.service.http.access.CALLERS_KEPT", 3)
    access = Access(Settings(fracture_rate_per_minute=6))
    callers = [request((f"192.0.2.{last}", "192.0.2.1")) for last in range(9)]
    assert {refusal_of(access, caller) for caller in callers} == {"key_missing"}
    assert len(access._limit._buckets) == 3
    assert {refusal_of(access, caller) for caller in callers[-3:]} == {"rate_limited"}


def test_this_very_machine_is_not_counted(serve):
    client = serve(fracture_rate_per_minute=1)
    assert {client.get("/health").status_code for _ in range(5)} == {200}


def test_pages_of_listed_origins_may_call_with_a_key(serve, paint, picture):
    client = serve(elsewhere=True, fracture_api_keys=LISTED, fracture_cors_origins="https://viewer.example")
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    allowed = client.options("/detect", headers={"Origin": "https://viewer.example", **asks})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://viewer.example"
    assert "X-API-Key" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    assert allowed.headers["x-content-type-options"] == "nosniff"
    refused = client.options("/detect", headers={"Origin": "https://evil.example", **asks})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    film = {"file": picture(paint())}
    answers = {
        origin: client.post("/detect", files=film, headers={"Origin": origin, "X-API-Key": KEYS["viewer"]})
        for origin in ("https://viewer.example", "https://evil.example")
    }
    assert [answer.headers.get("access-control-allow-origin") for answer in answers.values()] == [
        "https://viewer.example",
        None,
    ]
    shown = answers["https://viewer.example"].headers["access-control-expose-headers"]
    assert {"Retry-After", "X-Request-ID"} <= set(shown.split(", "))
