"""What the environment may set. docs/SERVICE.md has the table."""

import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from fracture.core.errors import BadValue
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.models.detectors.table import DETECTORS
from fracture.models.runtime import BACKENDS
from fracture.service.http.clinic_providers import NAMES

if TYPE_CHECKING:
    Clinics = str
    Backend = str
else:  # names that come from a table are no type to a checker
    Clinics = Literal[tuple(NAMES)]
    Backend = Literal[(*BACKENDS, *DETECTORS)]

logger = logging.getLogger(__name__)

BYTES_PER_MB = 1 << 20
# Where Docker and systemd put files of secrets; each holds the setting of its name, in small letters.
_SECRETS = ("/run/secrets", os.environ.get("CREDENTIALS_DIRECTORY", ""))


class Settings(BaseSettings):
    """The service's settings; each is the environment variable of the same name, in capitals.

    An empty variable counts as none.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        secrets_dir=[folder for folder in _SECRETS if folder and Path(folder).is_dir()],
    )

    fracture_host: str = Field(default="127.0.0.1", description="Address to listen at, with `fracture serve`.")
    fracture_port: int = Field(default=8000, ge=0, le=65535, description="Port to listen at, with `fracture serve`.")
    fracture_log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged, with `fracture serve`; `info` has a line per request."
    )

    fracture_weights: Path | None = Field(
        default=None, description="A run's folder, a bundle or its `.onnx`; the shipped model if not set."
    )
    fracture_backend: Backend | None = Field(
        default=None,
        description="What runs the network: ONNX Runtime where it has an accelerator, else OpenVINO, if not set. Or an "
        "architecture: the weights must be of it, and are `runs/fracture_` and its name if not set.",
    )
    fracture_precision: Literal["f32", "bf16"] = Field(
        default="f32", description="What OpenVINO computes in. The card's figures were measured in `f32`."
    )
    fracture_streams: int | None = Field(
        default=None, ge=1, le=256, description="Films in the network at once; the number of cores if not set."
    )

    fracture_auth: Literal["auto", "on", "off"] = Field(
        default="auto", description="Whether a key is asked for. `auto`: not from this very machine, else always."
    )
    fracture_api_keys: SecretStr | None = Field(
        default=None,
        description="`role:key,role:key`; roles are viewer, operator, admin; a key has 16 characters or more.",
    )
    fracture_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Names, besides localhost, by which this machine may call itself without a key."
    )
    fracture_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins of other web pages that may call the service, as `https://viewer.example`."
    )
    fracture_trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For is believed when requests are counted.",
    )
    fracture_rate_per_minute: int = Field(
        default=600, ge=1, description="Requests a minute from one key or address; calls without a key are not counted."
    )

    fracture_max_upload_mb: int = Field(default=64, ge=1, le=1024, description="Films of one request, together.")
    fracture_max_files: int = Field(default=16, ge=1, le=256, description="Films of one study, frames included.")
    fracture_max_megapixels: int = Field(default=30, ge=1, le=256, description="Pixels of one file, all its frames.")
    fracture_max_waiting: int = Field(
        default=128, ge=1, le=10_000, description="Requests inside at once; further ones are told to come back (503)."
    )
    fracture_held_mb: int = Field(
        default=256, ge=1, description="Uploads held in memory at once, over all requests; beyond it 503."
    )
    fracture_upload_s: float = Field(default=60, gt=0, description="Time an upload may take, in seconds.")
    fracture_decoders: int | None = Field(
        default=None, ge=1, le=64, description="Processes that decode films; one per core, four at most, if not set."
    )
    fracture_decode_mb: int = Field(default=1024, ge=128, description="Memory that decoding one film may take.")
    fracture_decode_s: float = Field(default=8, gt=0, description="Time that decoding one film may take, in seconds.")

    fracture_request_s: float = Field(
        default=30, gt=0, description="Time that decoding all films of one request may take together, in seconds."
    )
    fracture_request_megapixels: int = Field(
        default=240, ge=1, description="Pixels of all films of one request together; what comes after them is refused."
    )

    fracture_feedback: Path | None = Field(
        default=None, description="SQLite file that keeps what readers correct; nothing is kept if not set."
    )

    fracture_clinics: Clinics = Field(
        default="auto", description="Who is asked for clinics. `auto`: Google where there is a key, else nobody."
    )
    google_maps_api_key: SecretStr | None = Field(default=None, description="Google's key for clinics.")
    fracture_overpass_url: HttpUrl = Field(
        default=HttpUrl("https://overpass-api.de/api/interpreter"),
        description="OpenStreetMap's interpreter, or one of your own.",
    )

    @field_validator("fracture_hosts", "fracture_cors_origins", "fracture_trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

    @property
    def arch(self) -> str | None:
        """Give the architecture that is asked for by name, if one is."""
        return self.fracture_backend if self.fracture_backend in DETECTORS else None

    @property
    def weights(self) -> Path:
        """Give where the model is: as set, else the run that an architecture's name stands for, else the shipped one.

        Raises BadValue where it is of another architecture than asked for, MissingData where there is none.
        """
        runs = {name: Path("runs") / f"fracture_{name}" for name in DETECTORS} | {cards.load(SHIPPED).arch: SHIPPED}
        given = self.fracture_weights or (runs[self.arch] if self.arch else SHIPPED)
        folder = cards.find(given)
        found = cards.load(folder).arch
        if self.arch not in {None, found}:
            raise BadValue(f"FRACTURE_BACKEND: expected weights of {self.arch}, got {given}, which is {found}")
        return folder if given.suffix == ".pt" else given  # of a pickle its export: it can run its author's code

    @property
    def max_upload_bytes(self) -> int:
        """Give the largest film taken, in bytes."""
        return self.fracture_max_upload_mb * BYTES_PER_MB


def read() -> Settings:
    """Read the settings, and warn of each variable whose name begins as theirs do and is none of them.

    A warning, no refusal: systems that run services set variables named after them, as Kubernetes does. Raises BadValue
    that says of every wrong value what was expected, a line each.
    """
    for name in misspelt(os.environ):
        near = get_close_matches(name, map(str.upper, Settings.model_fields), n=2, cutoff=0.8)
        logger.warning("%s: no such setting%s", name, f"; is {' or '.join(near)} meant?" if near else "")
    try:
        return Settings()
    except SettingsError as error:  # a file of keys that this user may not read, or that is no text
        raise BadValue(f"{error}: {error.__cause__}") from None
    except ValidationError as refused:
        raise BadValue("\n".join(_wrong(one) for one in refused.errors(include_url=False))) from None


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """Give the variables that look like a setting of the service and are none."""
    names = sorted(name for name, value in environment.items() if name.upper().startswith("FRACTURE_") and value)
    return [name for name in names if name.lower() not in Settings.model_fields]


_EXPECTED = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
}
"""What was expected, by the kind of an error of pydantic, with its context."""


def _wrong(error: Any) -> str:
    """Say what is wrong with a setting. Its value is quoted where it is to be a number or a word: no secret."""
    name, kind = str(error["loc"][0]).upper(), error["type"]
    if kind in _EXPECTED:
        return f"{name}: expected {_EXPECTED[kind].format(**error.get('ctx', {}))}, got {error['input']!r}"
    return f"{name}: {error['msg'].replace('Input should be', 'expected')}"
