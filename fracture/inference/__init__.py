"""From a film's bytes to an answer: the reader, its sandbox, and many films at once."""
