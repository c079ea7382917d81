"""Training of the networks: data, losses, one loop."""
