"""What a Python program calls; `fracture` gives its names."""
