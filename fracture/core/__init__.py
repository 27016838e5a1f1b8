"""Types, boxes, errors, files and the machine: what every other package may use."""
