"""Orthopedic clinics around a place, from Google Maps. The key reaches neither an answer nor a log."""

import logging
import math
import re
from typing import Any, Literal

import anyio
import googlemaps
from anyio import to_thread
from googlemaps.exceptions import ApiError, Timeout, TransportError
from pydantic import BaseModel, Field, SecretStr

logger = logging.getLogger(__name__)

KEYWORD = "orthopedic"
RADIUS_M = 5000
TIMEOUT_S = 5.0
GOOGLE = "https://maps.googleapis.com"

_EARTH_RADIUS_M = 6_371_009
_FAILURES = (
    *(ApiError, TransportError, Timeout, OSError),
    *(AttributeError, LookupError, RecursionError, TypeError, ValueError),  # an answer of another shape
)
_KEY_IN_URL = re.compile(r"\bkey=[^&\s\"']*")
_STATUSES = {"REQUEST_DENIED", "OVER_QUERY_LIMIT", "OVER_DAILY_LIMIT", "INVALID_REQUEST", "UNKNOWN_ERROR"}


def _hide_key(record: logging.LogRecord) -> bool:
    record.msg, record.args = _KEY_IN_URL.sub("key=[hidden]", record.getMessage()), ()
    record.exc_info = record.exc_text = None
    return True


# Google takes the key in the URL, and these libraries log URLs. A filter works for the very logger it is put on only.
for _name in list(logging.root.manager.loggerDict):
    if _name.partition(".")[0] in {"googlemaps", "requests", "urllib3"}:
        logging.getLogger(_name).addFilter(_hide_key)


class Clinic(BaseModel):
    """One place, as Google Maps lists it."""

    name: str
    address: str | None
    distance_m: int | None = Field(description="As the crow flies from the place asked for.")
    rating: float | None = Field(description="Mean of its Google ratings, 1 to 5.")


class Consult(BaseModel):
    """Where an orthopedist may be found, or why that is not known."""

    status: Literal["ok", "unavailable", "not_configured"]
    note: str
    clinics: list[Clinic] = Field(default_factory=list, description="Nearest first.")


class Clinics:
    """Looks clinics up with a Google Maps key; without one it says so."""

    def __init__(self, key: SecretStr | None, base_url: str = GOOGLE, timeout_s: float = TIMEOUT_S) -> None:
        self._key = key
        self._base_url = base_url
        self._timeout_s = timeout_s

    async def near(self, lat: float, lng: float) -> Consult:
        """List clinics within RADIUS_M of a place. Every failure is an answer, and within the time limit."""
        if self._key is None:
            return Consult(status="not_configured", note="this service has no Google Maps key (GOOGLE_MAPS_API_KEY)")
        key = self._key.get_secret_value()
        # googlemaps bounds each wait on the socket; only this bounds their sum.
        with anyio.move_on_after(self._timeout_s):
            return await to_thread.run_sync(self._look_up, key, lat, lng, abandon_on_cancel=True)
        logger.warning("clinic look-up failed: no answer within %g s", self._timeout_s)
        return _unavailable()

    def _look_up(self, key: str, lat: float, lng: float) -> Consult:
        try:
            # A client each time: googlemaps' is not made to be shared between threads.
            client = googlemaps.Client(
                key=key,
                timeout=self._timeout_s,
                retry_timeout=1,
                retry_over_query_limit=False,
                base_url=self._base_url,
            )
            places = client.places_nearby(location=(lat, lng), radius=RADIUS_M, keyword=KEYWORD)["results"]
            found = [_clinic(place, lat, lng) for place in places if _open(place)]
        except _FAILURES as error:
            # Never the error's text: it can hold the URL, and with it the key.
            status = getattr(error, "status", None)
            why = status if status in _STATUSES else type(error).__name__
            logger.warning("clinic look-up failed: %s", why)
            return _unavailable()
        found.sort(key=lambda clinic: (clinic.distance_m is None, clinic.distance_m))
        note = f"what Google Maps lists within {RADIUS_M} m for '{KEYWORD}'; not a recommendation"
        return Consult(status="ok", note=note, clinics=found)


def _unavailable() -> Consult:
    return Consult(status="unavailable", note="the look-up at Google Maps failed; the film was read all the same")


def _open(place: dict[str, Any]) -> bool:
    return bool(place.get("business_status", "OPERATIONAL") == "OPERATIONAL")


def _clinic(place: dict[str, Any], lat: float, lng: float) -> Clinic:
    where = place.get("geometry", {}).get("location")
    distance = _distance_m(lat, lng, where["lat"], where["lng"]) if where else None
    return Clinic(name=place["name"], address=place.get("vicinity"), distance_m=distance, rating=place.get("rating"))


def _distance_m(lat: float, lng: float, other_lat: float, other_lng: float) -> int:
    """Give the great-circle distance (haversine)."""
    phi, other_phi = math.radians(lat), math.radians(other_lat)
    half_phi, half_lambda = (other_phi - phi) / 2, math.radians(other_lng - lng) / 2
    chord = math.sin(half_phi) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lambda) ** 2
    return round(2 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(chord, 1.0))))
