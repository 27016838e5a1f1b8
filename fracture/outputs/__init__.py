"""One file per output format; each turns a prediction into what somebody else reads."""
