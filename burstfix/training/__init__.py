"""Training of the networks: recipe, photographs, losses, one loop. Needs neither rawpy nor exifread."""
