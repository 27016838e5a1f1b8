"""Who knows clinics around a place: Google's two Places APIs and OpenStreetMap, each asked within bounds.

All of them go through `_ask`: no redirect is followed, no answer over ANSWER_MAX_BYTES is taken, and nothing here logs
or raises a text that came from outside, as that may quote the key.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import googlemaps
from googlemaps.exceptions import ApiError, TransportError
from pydantic import BaseModel, Field, SecretStr

from fracture.core.http import NO_HEADERS, Bounds, RequestFailed, ask

if TYPE_CHECKING:  # the settings take their names from here
    from fracture.service.http.settings import Settings
KEYWORD = "orthopedic"
TIMEOUT_S = 5.0
PAUSES_S = (0.2, 0.4, 0.8)
"""How long to wait before each further try."""

ANSWER_MAX_BYTES = 1 << 22
TEXT_MAX = 1000
GOOGLE_LEGACY_URL = "https://maps.googleapis.com"
GOOGLE_NEW_URL = "https://places.googleapis.com"

_EARTH_RADIUS_M = 6_371_009
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_STATUSES = {"REQUEST_DENIED", "OVER_QUERY_LIMIT", "OVER_DAILY_LIMIT", "INVALID_REQUEST", "UNKNOWN_ERROR"}


class Clinic(BaseModel):
    """One place, as its provider lists it."""

    # The bound also makes pydantic refuse half characters, which no answer could be written with.
    name: str = Field(max_length=TEXT_MAX)
    address: str | None = Field(max_length=TEXT_MAX)
    distance_m: int | None = Field(description="As the crow flies from the place asked for, rounded to about 1 km.")
    rating: float | None = Field(ge=0, le=5, description="Mean of its Google ratings, 1 to 5.")


class NoAnswer(Exception):
    """Raise where a provider gave none. The text is our own and fit for a log."""


class Provider(Protocol):
    """Somebody who lists clinics. ``wanted`` says in words what is asked for, ``attribution`` who must be named.

    ``keeps`` tells whether the provider's terms let its answers be kept for a while.
    """

    name: str
    attribution: str
    wanted: str
    keeps: bool

    def find(self, lat: float, lng: float, radius_m: int) -> list[Clinic]:
        """List clinics, in any order, some perhaps farther away. Raises NoAnswer, or what a misshapen answer causes."""


@dataclass(frozen=True)
class GoogleLegacy:
    """Nearby Search of the legacy Places API, which Google no longer enables for new projects."""

    key: SecretStr
    base_url: str
    timeout_s: float = TIMEOUT_S

    name = "google_legacy"
    attribution = "Google Maps"
    keeps = False  # Google Maps Platform Terms of Service, 3.2.3 (b): no caching
    wanted = f"places for '{KEYWORD}'"

    def find(self, lat: float, lng: float, radius_m: int) -> list[Clinic]:
        """List up to 20 clinics."""
        # A client each time: googlemaps' is not made to be shared between threads.
        client = googlemaps.Client(
            key=self.key.get_secret_value(),
            retry_over_query_limit=False,
            base_url=self.base_url,
            requests_session=_Session(self.timeout_s),
        )
        try:
            places = client.places_nearby(location=(lat, lng), radius=radius_m, keyword=KEYWORD)["results"]
        except TransportError as error:
            raise error.base_exception from None
        except ApiError as error:
            raise NoAnswer(error.status if error.status in _STATUSES else "ApiError") from None
        return [
            Clinic(
                name=place["name"],
                address=place.get("vicinity"),
                distance_m=_distance_m(lat, lng, place.get("geometry", {}).get("location"), "lat", "lng"),
                rating=place.get("rating"),
            )
            for place in places
            if place.get("business_status", "OPERATIONAL") == "OPERATIONAL"
        ]


@dataclass(frozen=True)
class GoogleNew:
    """Text Search of the Places API (New): its Nearby Search knows no type for orthopedics."""

    key: SecretStr
    base_url: str
    timeout_s: float = TIMEOUT_S

    name = "google_new"
    attribution = "Google Maps"
    keeps = False  # Google Maps Platform Terms of Service, 3.2.3 (b): no caching
    wanted = f"places for '{KEYWORD}'"

    def find(self, lat: float, lng: float, radius_m: int) -> list[Clinic]:
        """List up to 20 clinics, of a rectangle around the circle: the search can be restricted to no other shape."""
        fields = ("displayName", "formattedAddress", "location", "rating", "businessStatus")
        body = {
            "textQuery": KEYWORD,
            "pageSize": 20,
            "rankPreference": "DISTANCE",
            "locationRestriction": {"rectangle": _rectangle(lat, lng, radius_m)},
        }
        headers = {
            "Content-Type": "application/json",
            "X-Goog-Api-Key": self.key.get_secret_value(),
            "X-Goog-FieldMask": ",".join(f"places.{field}" for field in fields),
        }
        data = json.dumps(body).encode()
        answer = json.loads(_ask(f"{self.base_url}/v1/places:searchText", self.timeout_s, headers, data))
        places = [] if answer == {} else answer["places"]  # nothing near is an empty object
        return [
            Clinic(
                name=place["displayName"]["text"],
                address=place.get("formattedAddress"),
                distance_m=_distance_m(lat, lng, place.get("location"), "latitude", "longitude"),
                rating=place.get("rating"),
            )
            for place in places
            if place.get("businessStatus", "OPERATIONAL") == "OPERATIONAL"
        ]


@dataclass(frozen=True)
class Overpass:
    """OpenStreetMap through a server of the Overpass API. ``url`` is its interpreter; no key."""

    url: str
    timeout_s: float = TIMEOUT_S

    name = "overpass"
    attribution = "© OpenStreetMap contributors"
    keeps = True
    wanted = "hospitals, and clinics and doctors of orthopaedics"

    def find(self, lat: float, lng: float, radius_m: int) -> list[Clinic]:
        """List what has a name. Few hospitals are tagged with their specialities, so all of them count."""
        around = f"(around:{radius_m},{lat:.2f},{lng:.2f})[name]"
        query = (
            f"[out:json][timeout:{math.ceil(self.timeout_s)}];("
            f"nwr[amenity=hospital]{around};"
            f'nwr[amenity~"^(clinic|doctors)$"]["healthcare:speciality"~"orthop",i]{around};'
            ");out center;"
        )
        answer = json.loads(_ask(self.url, self.timeout_s, _FORM, urlencode({"data": query}).encode()))
        if "remark" in answer:  # a query that ran out of time or memory: a 200, and what was found so far
            raise NoAnswer("the query was broken off")
        return [
            Clinic(
                name=element["tags"]["name"],
                address=_osm_address(element["tags"]),
                distance_m=_distance_m(lat, lng, element.get("center", element), "lat", "lon"),
                rating=None,
            )
            for element in answer["elements"]
        ]


PROVIDERS: "dict[str, Callable[[Settings], Provider | None]]" = {
    "google_new": lambda settings: _keyed(GoogleNew, settings, GOOGLE_NEW_URL),
    "google_legacy": lambda settings: _keyed(GoogleLegacy, settings, GOOGLE_LEGACY_URL),
    "overpass": lambda settings: Overpass(str(settings.fracture_overpass_url)),
}
_SEVERAL = {
    # The legacy API second, for a key from the time when it was the only one. Overpass never unasked: it tells a third
    # party where somebody is.
    "auto": ("google_new", "google_legacy"),
    "off": (),
}
NAMES = (*PROVIDERS, *_SEVERAL)
"""What the setting may say."""


def chosen(settings: "Settings") -> list[Provider]:
    """Give the providers to ask, each only where the one before failed. Google needs a key, else it is left out."""
    names = _SEVERAL.get(settings.fracture_clinics, (settings.fracture_clinics,))
    return [provider for name in names if (provider := PROVIDERS[name](settings)) is not None]


def _keyed(kind: Callable[[SecretStr, str], Provider], settings: "Settings", url: str) -> Provider | None:
    key = settings.google_maps_api_key
    return None if key is None else kind(key, url)


class _Session:
    """Stands in for the ``requests`` session of googlemaps, whose libraries log the URL and with it the key."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def get(self, url: str, **_: Any) -> "_Reply":
        return _Reply(_ask(url, self._timeout_s))


@dataclass(frozen=True)
class _Reply:
    body: bytes
    status_code: int = 200  # anything else was raised

    def json(self) -> Any:
        return json.loads(self.body)


def _ask(url: str, timeout_s: float, headers: Mapping[str, str] = NO_HEADERS, content: bytes | None = None) -> bytes:
    """Give what a 200 brings, asked again while there is time and what went wrong may pass. Raises NoAnswer."""
    bounds = Bounds(wait_s=timeout_s, whole_s=timeout_s, max_bytes=ANSWER_MAX_BYTES, pauses_s=PAUSES_S)
    try:
        # A search changes nothing, also where it has to be posted.
        return ask(url, bounds, headers=headers, content=content, repeatable=True).body
    except RequestFailed as error:
        why = f"HTTP {error.status}" if error.status else error.why
    raise NoAnswer(why)


def _rectangle(lat: float, lng: float, radius_m: int) -> dict[str, dict[str, float]]:
    """Give the latitudes and longitudes around a circle. Over the date line, west is the larger."""
    up = math.degrees(radius_m / _EARTH_RADIUS_M)
    south, north = max(lat - up, -90.0), min(lat + up, 90.0)
    # The circle's widest point lies nearer the pole than its centre; one around the pole has all longitudes.
    widest = math.sin(math.radians(up)) / math.cos(math.radians(lat))
    west, east = -180.0, 180.0
    if widest < 1:
        across = math.degrees(math.asin(widest))
        west, east = ((edge + 180) % 360 - 180 for edge in (lng - across, lng + across))
    return {"low": {"latitude": south, "longitude": west}, "high": {"latitude": north, "longitude": east}}


def _osm_address(tags: dict[str, str]) -> str | None:
    street = " ".join(tags[part] for part in ("addr:housenumber", "addr:street") if part in tags)
    town = " ".join(tags[part] for part in ("addr:postcode", "addr:city") if part in tags)
    return ", ".join(part for part in (street, town) if part) or None


def _distance_m(lat: float, lng: float, where: dict[str, float] | None, lat_name: str, lng_name: str) -> int | None:
    """Give the great-circle distance (haversine), None to nowhere."""
    if not where:
        return None
    phi, other_phi = math.radians(lat), math.radians(where[lat_name])
    half_phi, half_lambda = (other_phi - phi) / 2, math.radians(where[lng_name] - lng) / 2
    chord = math.sin(half_phi) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lambda) ** 2
    return round(2 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(chord, 1.0))))
