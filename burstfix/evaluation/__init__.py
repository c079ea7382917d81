"""How good the models are, in numbers that anyone can recompute: metrics, protocols, tables."""
