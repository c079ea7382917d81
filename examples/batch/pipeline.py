"""Merge every burst of a folder into a brightened JPEG: a pipeline of ten lines.

python examples/batch/pipeline.py FOLDER OUT
"""

import sys
from pathlib import Path

import burstfix

source, target = Path(sys.argv[1]), Path(sys.argv[2])
model = burstfix.load_model("auto")
for found in burstfix.find_bursts([source]).bursts:
    burst = burstfix.read_burst(found.paths)
    image = burstfix.render(burstfix.merge_burst(burst, model=model), exposure=0.5)
    target.mkdir(parents=True, exist_ok=True)
    burstfix.write_image(image, target / f"{found.paths[0].stem}.jpg")
