"""The HTTP service: a film in, boxes out. Not a medical device."""
