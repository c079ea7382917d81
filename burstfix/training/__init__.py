"""Training of the networks: recipe, photographs, losses, one loop. Needs no rawpy."""
