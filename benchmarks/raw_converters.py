"""Run darktable and RawTherapee on a raw, with their own defaults."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGMOID = ("--conf", "plugins/darkroom/workflow=scene-referred (sigmoid)")
CONVERTERS: dict[str, str] = {
    "darktable": "darktable-cli",
    "darktable sigmoid": "darktable-cli",
    "rawtherapee": "rawtherapee-cli",
    "rawtherapee default": "rawtherapee-cli",
}
"""Program of each way to render a raw.

`darktable` uses the default workflow, which is filmic in version 4.2 and sigmoid since version 5.
`rawtherapee` uses a neutral profile, and `rawtherapee default` the default profile.
"""


def is_installed(converter: str) -> bool:
    """Return True if the program of a converter is on the search path."""
    return shutil.which(CONVERTERS[converter]) is not None


def convert(
    converter: str, raw: Path, out: Path, home: Path, development: Path | None = None
) -> NDArray[np.float64]:
    """Render a raw with a converter and return the picture.

    Args:
        converter: A key of `CONVERTERS`.
        raw: The raw file.
        out: Picture to write. The suffix determines the format: PNG, or JPEG, which holds the history of
            darktable.
        home: Folder for the settings of the program, so that those of the user have no effect.
        development: An XMP file with the history that darktable applies; None for its defaults.

    Returns:
        (H, W, 3), 0 to 1.

    Raises:
        RuntimeError: The program has not written a picture.
    """
    home.mkdir(exist_ok=True)
    if CONVERTERS[converter] == "darktable-cli":
        inputs = [str(path) for path in (raw, development) if path is not None]
        command = ["darktable-cli", *inputs, str(out), "--core", "--disable-opencl", "--library", ":memory:"]
        command += ["--configdir", str(home / "darktable"), *(SIGMOID if "sigmoid" in converter else ())]
    else:
        profile: Sequence[str] = ["-d"] if "default" in converter else []
        command = ["rawtherapee-cli", "-q", "-Y", *profile, "-n", "-b8", "-o", str(out), "-c", str(raw)]
    environment = {**os.environ, "HOME": str(home)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    if not out.exists():
        raise RuntimeError(f"{converter} has not written {out}:\n{run.stdout}{run.stderr}")
    return np.asarray(Image.open(out).convert("RGB")) / 255.0


def copy_module(operation: str, source: Path, target: Path, out: Path) -> None:
    """Add a module from the history of one picture of darktable to that of another.

    Args:
        operation: Name of the module, as in "filmicrgb".
        source: JPEG with the module in its history.
        target: JPEG with the history to extend.
        out: XMP file to write.

    Raises:
        ValueError: The history of `source` does not contain the module.
    """
    texts = [Image.open(path).info["xmp"].decode("utf-8") for path in (source, target)]
    found, present = (re.findall(r"<rdf:li\s+darktable:num=.*?/>", text, re.S) for text in texts)
    added = [item for item in found if f'darktable:operation="{operation}"' in item]
    if not added:
        raise ValueError(f"{source} has no module {operation}")
    number = len(present)
    item = re.sub(r'darktable:num="\d+"', f'darktable:num="{number}"', added[0])
    text = texts[1].replace(present[-1], present[-1] + item)
    out.write_text(text.replace(f'history_end="{number}"', f'history_end="{number + 1}"'), encoding="utf-8")
