"""Reads and writes weights: safetensors only, checked tensor by tensor and against the card's SHA-256."""

from burstfix.checkpoints.files import load_model, save_weights, weights_folder

__all__ = ["load_model", "save_weights", "weights_folder"]
