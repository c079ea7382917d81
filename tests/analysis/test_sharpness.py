from __future__ import annotations

import torch.nn.functional as F

from burstfix.align.blocks import gray_features
from burstfix.analysis.sharpness import sharpness
from burstfix.raw.cfa import pack
from tests.scenes import add_noise, draw_scene, mosaic_of

NOISE = (2e-3, 1e-4)


def gray(blur: int = 1, seed: int = 0):
    scene = draw_scene(256, 320, seed=2)
    scene = F.avg_pool2d(scene[None], (1, blur), 1, (0, blur // 2))[0]
    return gray_features(pack(add_noise(mosaic_of(scene), *NOISE, seed=seed))[None], *NOISE)[0, 0]


def test_sharpness_when_a_frame_is_blurred_then_it_decreases_with_the_blur():
    values = [sharpness(gray(blur)).energy for blur in (1, 5, 11, 31)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.2 * values[1] and values[0] > 3 * values[3]


def test_sharpness_when_only_the_noise_differs_then_it_hardly_changes():
    values = [sharpness(gray(seed=seed)).energy for seed in range(3)]
    assert max(values) < 1.03 * min(values)


def test_sharpness_when_there_is_only_noise_then_it_is_close_to_zero():
    flat = draw_scene(256, 320) * 0 + 0.3
    noise = gray_features(pack(add_noise(mosaic_of(flat), *NOISE, seed=1))[None], *NOISE)[0, 0]
    assert sharpness(noise).energy < 0.03 * sharpness(gray()).energy
