"""Quality of the models in figures that anyone can reproduce: metrics, protocols, tables."""
