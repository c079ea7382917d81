"""Import of the authors' checkpoints, compared with an independent implementation of their network."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from burstfix.checkpoints.upstream import import_two_stage
from burstfix.errors import WeightsError

C, GROUPS = 8, 2
State = dict[str, Tensor]


class _Random:
    """Small random tensors with the names and shapes of the authors' files."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def conv(self, name: str, c_in: int, c_out: int, side: int = 3, bias: bool = True) -> None:
        std = 1 / (c_in * side * side) ** 0.5
        self.state[f"{name}.weight"] = std * torch.randn(c_out, c_in, side, side, generator=self.generator)
        if bias:
            self.state[f"{name}.bias"] = 0.1 * torch.randn(c_out, generator=self.generator)

    def transposed(self, name: str, c_in: int, c_out: int) -> None:
        self.conv(name, c_out, c_in, 2)
        self.state[f"{name}.bias"] = 0.1 * torch.randn(c_out, generator=self.generator)

    def stack(self, name: str, depth: int, c_in: int, c: int, c_out: int) -> None:
        for i in range(depth):
            last = i == depth - 1
            self.conv(f"{name}.simple_block.{2 * i}", c if i else c_in, c_out if last else c, bias=i == 0)

    def attention(self, name: str, c: int) -> None:
        self.conv(f"{name}.square_conv", c, c, bias=False)
        self.conv(f"{name}.extract_conv", c, c)
        self.stack(f"{name}.res_block1", 2, c, c, c)
        self.stack(f"{name}.res_block2", 2, c, c, c)
        self.conv(f"{name}.down", c, c // 2, 1)
        self.conv(f"{name}.up", c // 2, c, 1)
        self.conv(f"{name}.spatial_att", c, 1, 7)


def _network(seed: int = 0) -> State:
    r = _Random(seed)
    r.stack("feature_extract", 5, 8, C, C)
    for i in (1, 2, 3, 4):
        r.attention(f"feature_extract_acse{i}", C)
    for level in (2, 3):
        r.conv(f"pcd_align.fea_L{level}_conv1", C, C)
        r.conv(f"pcd_align.fea_L{level}_conv2", C, C)
    for level in (1, 2, 3):
        name = f"pcd_align.pcd_align.L{level}"
        r.conv(f"{name}_offset_conv1_1", 2 * C, C)
        r.conv(f"{name}_offset_conv2_1", C if level == 3 else 2 * C, C)
        if level < 3:
            r.conv(f"{name}_offset_conv3_1", C, C)
            r.conv(f"{name}_fea_conv_1", 2 * C, C)
        r.conv(f"{name}_dcnpack_1", C, C)
        r.conv(f"{name}_dcnpack_1.conv_offset_mask", C, 3 * 9 * GROUPS)
    for gate in ("convz", "convr", "convq"):
        r.conv(f"ConvBGRU.forward_net.{gate}", 2 * C, C)
    r.conv("ConvBGRU.conv_1x1", 2 * C, C, 1)
    r.transposed("feature_up", C, C)
    for level, c in (("s1", C), ("s2", 2 * C), ("s3", 4 * C)):
        r.stack(f"conv_block_{level}", 2, c, c, c)
        r.attention(f"acse_block_{level}", c)
    r.conv("pool1", C, 2 * C)
    r.conv("pool2", 2 * C, 4 * C)
    r.stack("conv_block_s3_2", 2, 4 * C, 4 * C, 4 * C)
    r.transposed("up1", 4 * C, 2 * C)
    r.stack("conv_block_s4", 2, 4 * C, 2 * C, 2 * C)
    r.attention("acse_block_s4", 2 * C)
    r.transposed("up2", 2 * C, C)
    r.stack("conv_block_s5", 3, 2 * C, C, 3)
    return r.state


def _coarse(seed: int = 1) -> State:
    r = _Random(seed)
    r.conv("simple_block.0", 4, 16, bias=False)
    r.conv("simple_block.1", 16, 16)
    r.conv("simple_block.3", 16, 16, bias=False)
    r.conv("simple_block.4", 16, 16)
    r.conv("simple_block.6", 16, 16)
    return r.state


class _Theirs:
    """The authors' network, computed from their weights, for an odd number of frames around the reference."""

    def __init__(self, state: State) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def up(self, name: str, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], 2)

    def stack(self, name: str, depth: int, x: Tensor) -> Tensor:
        for i in range(depth):
            x = self.conv(f"{name}.simple_block.{2 * i}", _lrelu(x) if i else x)
        return x

    def attention(self, name: str, x: Tensor) -> Tensor:
        x = x + self.conv(f"{name}.extract_conv", _lrelu(self.conv(f"{name}.square_conv", x)))
        x = x + self.stack(f"{name}.res_block1", 2, x)
        x = x + self.stack(f"{name}.res_block2", 2, x)
        pooled = self.conv(f"{name}.down", x.mean((2, 3), keepdim=True))
        channel = torch.sigmoid(self.conv(f"{name}.up", _lrelu(pooled)))
        return x + x * channel + x * torch.sigmoid(self.conv(f"{name}.spatial_att", x))

    def deform(self, name: str, x: Tensor, guide: Tensor) -> Tensor:
        out = self.conv(f"{name}.conv_offset_mask", guide)
        third = 9 * GROUPS
        offsets, mask = out[:, : 2 * third], torch.sigmoid(out[:, 2 * third :])
        _, c, h, w = x.shape
        result = self.state[f"{name}.bias"][None, :, None, None].expand(len(x), -1, h, w)
        padded = F.pad(x, (1, 1, 1, 1))
        for channel in range(c):
            for tap in range(9):
                k = channel // (c // GROUPS) * 9 + tap
                y = torch.arange(h)[:, None] + tap // 3 - 1 + offsets[:, 2 * k]
                xx = torch.arange(w) + tap % 3 - 1 + offsets[:, 2 * k + 1]
                value = _bilinear(padded[:, channel], y + 1, xx + 1) * mask[:, k]
                kernel = self.state[f"{name}.weight"][:, channel, tap // 3, tap % 3]
                result = result + kernel[None, :, None, None] * value[:, None]
        return result

    def align(self, frame: list[Tensor], target: list[Tensor]) -> Tensor:
        p = "pcd_align.pcd_align.L"
        guide = _lrelu(self.conv(f"{p}3_offset_conv1_1", torch.cat([frame[2], target[2]], 1)))
        guide = _lrelu(self.conv(f"{p}3_offset_conv2_1", guide))
        features = _lrelu(self.deform(f"{p}3_dcnpack_1", frame[2], guide))
        for level in (2, 1):
            pair = torch.cat([frame[level - 1], target[level - 1]], 1)
            finer = _lrelu(self.conv(f"{p}{level}_offset_conv1_1", pair))
            finer = torch.cat([finer, _double(guide) * 2], 1)
            guide = _lrelu(self.conv(f"{p}{level}_offset_conv2_1", finer))
            guide = _lrelu(self.conv(f"{p}{level}_offset_conv3_1", guide))
            moved = self.deform(f"{p}{level}_dcnpack_1", frame[level - 1], guide)
            features = self.conv(f"{p}{level}_fea_conv_1", torch.cat([moved, _double(features)], 1))
            features = _lrelu(features) if level == 2 else features
        return features

    def gru(self, frames: list[Tensor]) -> Tensor:
        state = torch.zeros_like(frames[0])
        for x in frames:
            both = torch.cat([state, x], 1)
            z = torch.sigmoid(self.conv("ConvBGRU.forward_net.convz", both))
            r = torch.sigmoid(self.conv("ConvBGRU.forward_net.convr", both))
            q = torch.tanh(self.conv("ConvBGRU.forward_net.convq", torch.cat([r * state, x], 1)))
            state = (1 - z) * state + z * q
        return state

    def __call__(self, frames: list[Tensor], maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the picture with and without the reference."""
        pyramids = []
        for frame, noise in zip(frames, maps, strict=True):
            x = self.stack("feature_extract", 5, torch.cat([frame, noise], 1))
            for i in (1, 2, 3, 4):
                x = self.attention(f"feature_extract_acse{i}", x)
            levels = [x]
            for level in (2, 3):
                x = _lrelu(self.conv(f"pcd_align.fea_L{level}_conv1", x, 2))
                x = _lrelu(self.conv(f"pcd_align.fea_L{level}_conv2", x))
                levels.append(x)
            pyramids.append(levels)
        middle = len(frames) // 2
        aligned = [self.align(levels, pyramids[middle]) for levels in pyramids]
        pictures = []
        for with_reference in (1, 0):
            ahead = self.gru(aligned[: middle + with_reference])
            back = self.gru(aligned[middle + 1 - with_reference :][::-1])
            pictures.append(self.decode(self.conv("ConvBGRU.conv_1x1", torch.cat([ahead, back], 1))))
        return pictures[0], pictures[1]

    def decode(self, x: Tensor) -> Tensor:
        one = self.attention("acse_block_s1", self.stack("conv_block_s1", 2, self.up("feature_up", x)))
        two = self.stack("conv_block_s2", 2, self.conv("pool1", one, 2))
        two = self.attention("acse_block_s2", two)
        three = self.stack("conv_block_s3", 2, self.conv("pool2", two, 2))
        three = self.stack("conv_block_s3_2", 2, self.attention("acse_block_s3", three))
        x = self.stack("conv_block_s4", 2, torch.cat([self.up("up1", three), two], 1))
        x = self.attention("acse_block_s4", x)
        return self.stack("conv_block_s5", 3, torch.cat([self.up("up2", x), one], 1))


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _bilinear(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample a plane (B, h + 2, w + 2) with a border of zeros at positions (B, h, w); zero outside."""
    _, rows, cols = plane.shape
    y0, x0 = y.floor(), x.floor()
    batch = torch.arange(len(plane))[:, None, None]
    out = torch.zeros_like(y)
    for dy in (0, 1):
        for dx in (0, 1):
            row, col = (y0 + dy).long(), (x0 + dx).long()
            weight = (1 - (y - y0 - dy).abs()) * (1 - (x - x0 - dx).abs())
            out = out + weight * plane[batch, row.clamp(0, rows - 1), col.clamp(0, cols - 1)]
    return out


def _save(folder: Path, network: object, coarse: object) -> tuple[Path, Path]:
    paths = folder / "G.pth", folder / "DSNet.pth"
    for path, content in zip(paths, (network, coarse), strict=True):
        torch.save(content, path)
    return paths


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("noise_map", ["std", "linear"])
def test_import_when_the_checkpoint_is_random_then_results_equal_those_of_their_network(
    tmp_path, prefix, noise_map
):
    state = _network()
    paths = _save(tmp_path, {prefix + key: value for key, value in state.items()}, _coarse())
    model = import_two_stage(*paths, noise_map=noise_map)
    frames = torch.rand(1, 3, 4, 16, 24, generator=torch.Generator().manual_seed(2))
    shot, read_std = 6.4e-3, 2e-2
    noise = (shot * frames + read_std**2).sqrt() if noise_map == "std" else shot * frames + read_std
    picture, between = _Theirs(state)(list(frames.unbind(1)), list(noise.unbind(1)))
    merged = model.train()(
        frames, torch.full((1, 1, 4, 1, 1), shot), torch.full((1, 1, 4, 1, 1), read_std**2), 1
    )
    scale = picture.std()
    assert scale > 0.01
    torch.testing.assert_close(merged.rgb / scale, picture / scale, atol=1e-4, rtol=0)
    torch.testing.assert_close(merged.extra["interpolation"] / scale, between / scale, atol=1e-4, rtol=0)


def test_import_when_the_checkpoint_is_random_then_coarse_features_are_equal(tmp_path):
    coarse = _coarse()
    model = import_two_stage(*_save(tmp_path, _network(), coarse))
    planes = torch.rand(2, 4, 32, 48, generator=torch.Generator().manual_seed(3))
    theirs = _Theirs({key.replace("simple_block.", "c"): value for key, value in coarse.items()})
    x = _lrelu(theirs.conv("c1", theirs.conv("c0", planes, 2)))
    x = theirs.conv("c6", _lrelu(theirs.conv("c4", theirs.conv("c3", x, 2))))
    x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    assert model.coarse is not None
    torch.testing.assert_close(model.coarse(planes), x, atol=1e-4, rtol=1e-4)


def _wide(state: State) -> State:
    """Return a checkpoint in which one tensor claims a million channels."""
    name = "feature_extract.simple_block.0.weight"
    return state | {name: torch.zeros(10**6, 1, 1, 1)}


def test_import_when_a_tensor_is_stored_transposed_then_its_values_are_the_same(tmp_path):
    state = _network()
    name = "ConvBGRU.conv_1x1.weight"
    paths = _save(tmp_path, state, _coarse())
    expected = import_two_stage(*paths).state_dict()
    turned = state[name].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    paths = _save(tmp_path, state | {name: turned}, _coarse())
    for key, value in import_two_stage(*paths).state_dict().items():
        torch.testing.assert_close(value, expected[key])


def _without(state: State, key: str) -> State:
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda g, d: (_without(g, "pool1.bias"), d), "lacks pool1.bias"),
        (lambda g, d: (g | {"extra.weight": torch.zeros(1)}, d), "unknown extra.weight"),
        (lambda g, d: (g, _without(d, "simple_block.6.bias")), "lacks simple_block.6.bias"),
        (lambda g, d: (d, g), "G.pth"),
        (lambda g, d: (g | {"pool1.bias": torch.zeros(3)}, d), "shape"),
        (lambda g, d: (g | {"pool1.bias": torch.full((2 * C,), float("nan"))}, d), "not finite"),
        (lambda g, d: (g | {"module.pool1.bias": g["pool1.bias"]}, d), "with and without"),
        (lambda g, d: (g | {"pool1.bias": g["pool1.bias"].to_sparse()}, d), "sparse"),
        (lambda g, d: (g | {"pool1.bias": torch.zeros(1).expand(10**9, 10**9)}, d), "share memory"),
        (
            lambda g, d: (g | {"pool1.bias": torch.empty(2 * C, device="meta")}, d),
            "expected dense tensors",
        ),
        (lambda g, d: (_wide(g), d), "expected"),
        (lambda g, d: (g | {"epoch": 3}, d), "not a floating-point tensor"),
        (lambda g, d: ([1, 2], d), "contains a list"),
        (lambda g, d: (Path("x"), d), "not a PyTorch checkpoint"),  # pickled classes are not loaded
    ],
)
def test_import_when_the_content_is_wrong_then_weights_error(tmp_path, damage, message):
    paths = _save(tmp_path, *damage(_network(), _coarse()))
    with pytest.raises(WeightsError, match=message):
        import_two_stage(*paths)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip", b"\x80\x02}q\x00"])
def test_import_when_the_bytes_are_not_a_checkpoint_then_weights_error(tmp_path, content):
    _, coarse = _save(tmp_path, {}, _coarse())
    broken = tmp_path / "broken.pth"
    broken.write_bytes(content)
    with pytest.raises(WeightsError, match="broken.pth"):
        import_two_stage(broken, coarse)


def test_import_when_a_file_is_missing_then_weights_error(tmp_path):
    with pytest.raises(WeightsError, match="nowhere.pth"):
        import_two_stage(tmp_path / "nowhere.pth", tmp_path / "DSNet.pth")
