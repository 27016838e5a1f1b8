"""A door to the service: ``python -m app``, or ``uvicorn app.main:app``."""
