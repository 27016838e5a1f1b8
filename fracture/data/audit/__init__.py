"""What is wrong with a stage or a dataset."""
