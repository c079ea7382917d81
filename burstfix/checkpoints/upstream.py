"""Import the weights that the authors of the two-stage network published, G.pth and DSNet.pth.

The tables below list every key of both files and every parameter of our network. Missing and additional keys
are errors. The files are pickles. They are loaded with `weights_only=True`, so that they cannot run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from burstfix.errors import UsageError, WeightsError
from burstfix.models.two_stage_paper import TwoStagePaper, TwoStagePaperConfig

_PREFIX = "module."  # of keys saved from DataParallel
_LISTED = 3
_FEATURE_CONVS = 5
_FEATURE_BLOCKS = 4


def _conv(theirs: str, ours: str, *, bias: bool = True) -> dict[str, str]:
    return {f"{theirs}.{part}": f"{ours}.{part}" for part in (("weight", "bias") if bias else ("weight",))}


def _stack(depth: int, theirs: str, ours: str) -> dict[str, str]:
    """List the keys of a stack of convolutions.

    Activations are numbered too. Only the first convolution has a bias.
    """
    table: dict[str, str] = {}
    for i in range(depth):
        table |= _conv(f"{theirs}.simple_block.{2 * i}", f"{ours}.convs.{i}", bias=i == 0)
    return table


def _attention(theirs: str, ours: str) -> dict[str, str]:
    return {
        **_conv(f"{theirs}.square_conv", f"{ours}.square", bias=False),
        **_conv(f"{theirs}.extract_conv", f"{ours}.extract"),
        **_stack(2, f"{theirs}.res_block1", f"{ours}.residual1"),
        **_stack(2, f"{theirs}.res_block2", f"{ours}.residual2"),
        **_conv(f"{theirs}.down", f"{ours}.squeeze"),
        **_conv(f"{theirs}.up", f"{ours}.excite"),
        **_conv(f"{theirs}.spatial_att", f"{ours}.spatial"),
    }


def _network_table() -> dict[str, str]:
    table = _stack(_FEATURE_CONVS, "feature_extract", "extract")
    for i in range(_FEATURE_BLOCKS):
        table |= _attention(f"feature_extract_acse{i + 1}", f"extract_blocks.{i}")
    for level in (2, 3):
        for i in range(2):
            table |= _conv(f"pcd_align.fea_L{level}_conv{i + 1}", f"align.down{level}.{i}")
    for level in (0, 1, 2):
        theirs = f"pcd_align.pcd_align.L{level + 1}"
        table |= _conv(f"{theirs}_offset_conv1_1", f"align.pair.{level}")
        table |= _conv(f"{theirs}_offset_conv2_1", f"align.merge.{level}")
        if level < 2:
            table |= _conv(f"{theirs}_offset_conv3_1", f"align.settle.{level}")
            table |= _conv(f"{theirs}_fea_conv_1", f"align.combine.{level}")
        table |= _conv(f"{theirs}_dcnpack_1", f"align.deform.{level}.conv")
        table |= _conv(f"{theirs}_dcnpack_1.conv_offset_mask", f"align.deform.{level}.offset_mask")
    for theirs, ours in (("convz", "update"), ("convr", "reset"), ("convq", "candidate")):
        table |= _conv(f"ConvBGRU.forward_net.{theirs}", f"gru.{ours}")
    table |= _conv("ConvBGRU.conv_1x1", "fuse")
    table |= _conv("feature_up", "unet.enlarge")
    for theirs, ours in (("s1", "level1"), ("s2", "level2"), ("s3", "level3"), ("s4", "join2")):
        table |= _stack(2, f"conv_block_{theirs}", f"unet.{ours}.0")
        table |= _attention(f"acse_block_{theirs}", f"unet.{ours}.1")
    table |= _stack(2, "conv_block_s3_2", "unet.bottom")
    table |= _stack(3, "conv_block_s5", "unet.head")
    for theirs, ours in (("pool1", "down1"), ("pool2", "down2"), ("up1", "up2"), ("up2", "up1")):
        table |= _conv(theirs, f"unet.{ours}")
    return table


NETWORK_KEYS: Mapping[str, str] = _network_table()
"""Mapping from names in G.pth, without `module.`, to our names."""

COARSE_KEYS: Mapping[str, str] = {
    "simple_block.0.weight": "coarse.down1.weight",
    "simple_block.1.weight": "coarse.conv1.weight",
    "simple_block.1.bias": "coarse.conv1.bias",
    "simple_block.3.weight": "coarse.down2.weight",
    "simple_block.4.weight": "coarse.conv2.weight",
    "simple_block.4.bias": "coarse.conv2.bias",
    "simple_block.6.weight": "coarse.conv3.weight",
}
"""Mapping from names in DSNet.pth to our names."""

COARSE_DROPPED = frozenset({"simple_block.6.bias"})
"""Bias that our network lacks.

It has no effect, because the following instance normalisation subtracts it.
"""


def import_two_stage(
    network: str | Path, coarse: str | Path, *, noise_map: str = "std", patch: int = 64
) -> TwoStagePaper:
    """Build our network from the authors' two files, configured to reproduce their results.

    With this configuration, the network pools over the whole patch and does not limit offsets. Therefore
    results depend slightly on the tiles.

    Args:
        network: Path of G.pth.
        coarse: Path of DSNet.pth.
        noise_map: "std", as in their test script, or "linear", as in their training.
        patch: Side of a patch in packed pixels: 64 in their 720p settings, 128 in 4K.

    Raises:
        WeightsError: A file cannot be read, is not one of these checkpoints, or an argument does not match
            the checkpoint.
    """
    network, coarse = Path(network), Path(coarse)
    theirs = _load(network)
    state = _translate(network, theirs, NETWORK_KEYS, frozenset())
    state |= _translate(coarse, _load(coarse), COARSE_KEYS, COARSE_DROPPED)
    channels = _rows(theirs["feature_extract.simple_block.0.weight"])
    offset_rows = _rows(theirs["pcd_align.pcd_align.L1_dcnpack_1.conv_offset_mask.weight"])
    try:
        config = TwoStagePaperConfig(
            channels=channels,
            groups=max(1, offset_rows // 27),  # offsets (2) and mask (1) of 9 taps
            feature_convs=_FEATURE_CONVS,
            feature_blocks=_FEATURE_BLOCKS,
            unet=(channels, 2 * channels, 4 * channels),
            base="none",
            attention="patch",
            max_offset=0.0,
            noise_map=noise_map,
            patch=patch,
        )
    except UsageError as error:
        raise WeightsError(f"{network}: its sizes are not those of a two-stage network: {error}") from error
    with torch.device("meta"):  # allocates no memory, even if a damaged file states huge sizes
        expected = TwoStagePaper(config).state_dict()
    unfilled = expected.keys() - state.keys()
    if unfilled:  # the tables do not cover the network
        raise WeightsError(
            f"{network}: it has no weights for {_name_some(unfilled)}; please report this as a bug"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{network} or {coarse}: the tensor for {name} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(expected[name].shape)}; use the files that the authors publish"
            )
    model = TwoStagePaper(config)
    model.load_state_dict(state)
    return model.eval()


def _load(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint and remove the prefix from their names."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not a PyTorch checkpoint of plain tensors ({type(error).__name__}); use the .pth file "
            "that the authors published"
        ) from error
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: contains a {type(content).__name__}; expected named tensors")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or not value.is_floating_point():
            raise WeightsError(
                f"{path}: entry {key!r} is not a floating-point tensor, as all entries must be"
            )
        if not _is_plain(value):
            raise WeightsError(
                f"{path}: tensor {key!r} is sparse, or its elements share memory; expected dense tensors"
            )
        if not torch.isfinite(value).all():
            raise WeightsError(f"{path}: tensor {key!r} has values that are not finite; download it again")
        tensors[key.removeprefix(_PREFIX)] = value.float()
    if len(tensors) != len(content):
        raise WeightsError(f"{path}: the same tensor appears with and without {_PREFIX!r}")
    return tensors


def _is_plain(tensor: Tensor) -> bool:
    """Return True for a dense tensor in main memory whose elements do not share memory."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _translate(
    path: Path, theirs: Mapping[str, Tensor], table: Mapping[str, str], dropped: frozenset[str]
) -> dict[str, Tensor]:
    """Rename the tensors of a file by a table of names; leave out the dropped ones."""
    missing = (table.keys() | dropped) - theirs.keys()
    unknown = theirs.keys() - table.keys() - dropped
    if missing or unknown:
        parts = [f"lacks {_name_some(missing)}"] if missing else []
        parts += [f"has unknown {_name_some(unknown)}"] if unknown else []
        raise WeightsError(
            f"{path}: {' and '.join(parts)}; expected the authors' G.pth first, then their DSNet.pth"
        )
    return {ours: theirs[name] for name, ours in table.items()}


def _rows(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.dim() else 0


def _name_some(names: set[str] | frozenset[str]) -> str:
    shown = ", ".join(sorted(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more tensors"
