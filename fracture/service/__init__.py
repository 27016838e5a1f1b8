"""The service: HTTP and the page."""
