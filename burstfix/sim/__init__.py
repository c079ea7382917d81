"""Raw bursts with known ground truth, from photographs and clips: batched tensor functions.

`camera.py` turns display pictures into linear camera RGB and back, `motion.py` moves camera and objects,
`burst.py` puts both together with mosaic and noise. Training runs these on its own device.
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
