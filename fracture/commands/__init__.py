"""What a person calls: each parses its flags, makes one call and prints. The root's scripts run the same."""
