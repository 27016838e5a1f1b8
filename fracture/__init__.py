"""Find bone fractures on X-ray films, and say how sure that is. Not a medical device."""

__version__ = "0.1.0"
