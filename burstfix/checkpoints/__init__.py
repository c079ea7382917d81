"""Weights in safetensors files, checked tensor by tensor and against the SHA-256 in their card."""

from burstfix.checkpoints.files import load_model, save_weights, weights_folder

__all__ = ["load_model", "save_weights", "weights_folder"]
