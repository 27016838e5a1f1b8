"""The service for ``uvicorn app.main:app``: built when it is asked for, as the environment says."""

from fracture.service.http.main import __getattr__, create_app

__all__ = ["__getattr__", "create_app"]
