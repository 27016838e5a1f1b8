"""The service, to be run from a checkout: ``python -m app``, or ``uvicorn app.main:app``."""
