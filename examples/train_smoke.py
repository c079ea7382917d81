"""Train a tiny network on synthetic pictures and check that the loss falls: `make train-smoke`.

Run `python examples/train_smoke.py out/smoke`. The exit code is 1 if the loss did not fall.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_example import draw_scene
from PIL import Image

from burstfix.training.recipe import load_recipe
from burstfix.training.run import LOG, Run

RECIPE = Path(__file__).parents[1] / "recipes" / "smoke.toml"
BINS = 10


def draw_photos(folder: Path) -> None:
    """Write two pictures: the example scene for training, and a rotated and mirrored copy for validation."""
    light = draw_scene(720, 960).rgb
    encoded = np.clip(1.6 * light, 0, 1) ** (1 / 2.2)
    picture = Image.fromarray((encoded * 255).round().astype(np.uint8))
    picture = picture.resize((960, 720), Image.Resampling.BOX)
    for name in ("train", "validation"):
        (folder / name).mkdir()
    picture.save(folder / "train" / "scene.png")
    turned = picture.transpose(Image.Transpose.TRANSPOSE).resize((600, 800))
    turned.save(folder / "validation" / "scene.png")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train a tiny network for a minute.")
    parser.add_argument("output", type=Path, help="folder of the run; an older one is replaced")
    output = parser.parse_args().output
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name)
        draw_photos(photos)
        trained = Run(
            load_recipe(RECIPE),
            [photos / "train"],
            output,
            recipe_name=RECIPE.stem,
            validation=[photos / "validation"],
            device="cpu",
        ).train()
    records = [json.loads(line) for line in (output / LOG).read_text(encoding="utf-8").splitlines()]
    losses = np.array([r["parts"]["display"] for r in records if "loss" in r])
    means = [float(part.mean()) for part in np.array_split(losses, BINS)]
    for index, mean in enumerate(means):
        sys.stdout.write(f"{index * 10:3d}% of the run: display loss {mean:.4f} {'#' * round(600 * mean)}\n")
    for level, psnr in trained.psnr.items():
        sys.stdout.write(f"validation at {level} noise: {psnr:.2f} dB\n")
    fell = means[-1] < 0.8 * means[0]
    sys.stdout.write(f"the loss {'fell' if fell else 'DID NOT FALL'}; weights: {trained.weights}\n")
    return 0 if fell else 1


if __name__ == "__main__":
    sys.exit(main())
