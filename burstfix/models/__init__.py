"""Networks, one a file, and the catalogue of what ships."""
