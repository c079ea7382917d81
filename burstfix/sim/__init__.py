"""Simulation of raw bursts with known ground truth from photographs and clips.

`camera.py` converts display pictures to linear camera RGB and back, `motion.py` simulates the motion of
camera and objects, `burst.py` combines them with mosaic and noise in batches for training. `recording.py`
simulates whole frames.
"""

from burstfix.sim.burst import SimSettings, SimulatedBurst, add_noise, mosaic_packed, simulate_burst
from burstfix.sim.camera import Camera, random_camera, to_display, unprocess

__all__ = [
    "Camera",
    "SimSettings",
    "SimulatedBurst",
    "add_noise",
    "mosaic_packed",
    "random_camera",
    "simulate_burst",
    "to_display",
    "unprocess",
]
