"""Weights in and out: safetensors only, strict, and checked against the hash on their card."""

from burstfix.checkpoints.files import load_model, save_weights, weights_folder

__all__ = ["load_model", "save_weights", "weights_folder"]
