"""From raw films to a bundle that can be served, and what each choice of a recipe buys."""
