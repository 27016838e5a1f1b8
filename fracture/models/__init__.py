"""Networks: the card beside the weights, the torch-free runtime, and one file per trainer."""
