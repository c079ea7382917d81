"""Weights in and out: safetensors, strict and hashed."""
