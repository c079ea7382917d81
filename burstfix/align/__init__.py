"""Estimate the motion of frames and gather aligned blocks; pure tensor functions."""
