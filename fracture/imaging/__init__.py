"""Bytes to radiographs, radiographs to network pixels: the only decoder and the only preprocessing."""
