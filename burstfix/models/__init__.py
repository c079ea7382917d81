"""Networks, one per file, and the catalogue of models."""
