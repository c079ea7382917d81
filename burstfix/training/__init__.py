"""Training of the networks: recipe, photographs, losses, one loop. Does not need rawpy."""
