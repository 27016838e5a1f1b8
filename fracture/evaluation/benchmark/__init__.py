"""Several models on the same films: how good each is, how it differs from the first, what it costs, where it began."""
