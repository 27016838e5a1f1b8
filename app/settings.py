"""What the environment may set."""

from pathlib import Path
from typing import Literal

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

BYTES_PER_MB = 1 << 20


class Settings(BaseSettings):
    """The service's settings; each is the environment variable of the same name, in capitals.

    ``fracture_weights`` names a run's folder, a bundle or its ``.onnx``; without it the shipped model serves. Without
    ``google_maps_api_key`` no clinics are looked up, unless ``fracture_clinics`` names overpass, which tells a third
    party roughly where somebody is. ``fracture_overpass_url`` is the interpreter of another server, as your own. An
    empty variable counts as none.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    fracture_weights: Path | None = None
    google_maps_api_key: SecretStr | None = None
    fracture_clinics: Literal["auto", "google_new", "google_legacy", "overpass", "off"] = "auto"
    fracture_overpass_url: HttpUrl = HttpUrl("https://overpass-api.de/api/interpreter")
    fracture_max_upload_mb: int = Field(default=64, ge=1, le=1024)

    @property
    def max_upload_bytes(self) -> int:
        """Give the largest film taken, in bytes."""
        return self.fracture_max_upload_mb * BYTES_PER_MB
