"""Pure functions from camera RGB to display RGB."""
