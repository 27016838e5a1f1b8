"""Arrays in, Estimates out: numpy and scipy, no network and no file format."""
