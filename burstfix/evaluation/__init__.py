"""Evaluation of the models with reproducible figures: metrics, protocols, tables."""
