"""Training of the networks: recipe, photographs, losses, one loop. It does not need rawpy."""
