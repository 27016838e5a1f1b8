"""What is said of a film and of a study, and rough words for a box."""
