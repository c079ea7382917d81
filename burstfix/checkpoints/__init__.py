"""Weights in safetensors files. Each tensor is checked, and the file against the SHA-256 in its card."""

from burstfix.checkpoints.files import load_model, save_weights, weights_folder

__all__ = ["load_model", "save_weights", "weights_folder"]
