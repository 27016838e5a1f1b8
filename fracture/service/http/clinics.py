"""Orthopedic clinics around a place: bounded in time, remembered for a while, and never a reason to fail."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Literal

import anyio
from anyio import to_thread
from pydantic import BaseModel, Field

from fracture.service.http.clinic_providers import TIMEOUT_S, Clinic, NoAnswer, Provider

logger = logging.getLogger(__name__)

RADIUS_M = 5000
NEAREST = 20
PLACE_DECIMALS = 2
"""About 1 km. Where somebody is, is nobody's business to the metre."""

AGE_S = 600.0
PLACES_KEPT = 256
LOOK_UPS_AT_ONCE = 16


class Consult(BaseModel):
    """Where an orthopedist may be found, or why that is not known."""

    status: Literal["ok", "unavailable", "not_configured"]
    note: str
    clinics: list[Clinic] = Field(default_factory=list, description="Nearest first.")
    attribution: str = Field(default="", description="Whose data this is; show it wherever the list is shown.")


class Clinics:
    """Looks clinics up at the first of its providers that answers; without one it says so."""

    def __init__(self, providers: Sequence[Provider], timeout_s: float = TIMEOUT_S, age_s: float = AGE_S) -> None:
        self._providers = tuple(providers)
        self._timeout_s = timeout_s
        self._age_s = age_s
        self._known: dict[tuple[str, float, float], tuple[float, Consult]] = {}
        # A pool of its own, so that no slow provider ever keeps a film waiting for a thread.
        self._turns = anyio.CapacityLimiter(LOOK_UPS_AT_ONCE)
        # A look-up that was given up leaves the pool, but its thread may hang on. No more than these ever do.
        self._threads = threading.BoundedSemaphore(LOOK_UPS_AT_ONCE)

    @property
    def offered(self) -> bool:
        """Tell whether there is anybody to ask."""
        return bool(self._providers)

    async def near(self, lat: float, lng: float) -> Consult:
        """List clinics within RADIUS_M of a place, rounded first. Every failure is an answer, and within the limit."""
        if not self.offered:
            note = "this service looks no clinics up; its operator can: GOOGLE_MAPS_API_KEY, FRACTURE_CLINICS=overpass"
            return Consult(status="not_configured", note=note)
        place = round(lat, PLACE_DECIMALS), round(lng, PLACE_DECIMALS)
        for provider in self._providers:
            at, consult = self._known.get((provider.name, *place), (float("-inf"), None))
            if consult is not None and time.monotonic() - at < self._age_s:
                return consult
        with anyio.move_on_after(self._timeout_s) as limit:
            for provider in self._providers:
                found = await to_thread.run_sync(
                    self._look_up, provider, *place, abandon_on_cancel=True, limiter=self._turns
                )
                if found is not None:
                    return self._remember((provider.name, *place), found) if provider.keeps else found
        if limit.cancelled_caught:
            logger.warning("clinic look-up failed: no answer within %g s", self._timeout_s)
        return Consult(status="unavailable", note="no clinics could be looked up; the film was read all the same")

    def _look_up(self, provider: Provider, lat: float, lng: float) -> Consult | None:
        if not self._threads.acquire(blocking=False):
            logger.warning("clinic look-up failed: earlier ones are still waiting for an answer")
            return None
        try:
            found = provider.find(lat, lng, RADIUS_M)
        except Exception as error:  # noqa: BLE001 - whatever comes from outside, the boxes are answered
            # Never the text of what we did not raise ourselves: it can hold the URL, and with it the key.
            why = str(error) if isinstance(error, NoAnswer) else type(error).__name__
            logger.warning("clinic look-up at %s failed: %s", provider.name, why)
            return None
        finally:
            self._threads.release()
        near = [clinic for clinic in found if clinic.distance_m is None or clinic.distance_m <= RADIUS_M]
        near.sort(key=lambda clinic: (clinic.distance_m is None, clinic.distance_m))
        note = f"{provider.wanted} within {RADIUS_M} m of the place, rounded to about 1 km; not a recommendation"
        return Consult(status="ok", note=note, clinics=near[:NEAREST], attribution=provider.attribution)

    def _remember(self, key: tuple[str, float, float], consult: Consult) -> Consult:
        self._known[key] = (time.monotonic(), consult)
        if len(self._known) > PLACES_KEPT:
            del self._known[next(iter(self._known))]
        return consult
