"""`burstfix evaluate`: the quality of models on bursts with or without ground truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from burstfix import records
from burstfix.cli import options
from burstfix.cli.epilog import epilog
from burstfix.cli.terminal import Terminal
from burstfix.errors import OutputError, UsageError
from burstfix.settings import MergeSettings

if TYPE_CHECKING:
    from torch import Tensor

    from burstfix.evaluation.methods import Protocol
    from burstfix.evaluation.protocol import Case

EXAMPLES = (
    "burstfix evaluate --clips REDS4/ --photos photos/",
    "burstfix evaluate --clips clip/ -m average -m kpn:1 -m kpn -m runs/kpn/kpn.safetensors",
    "burstfix evaluate --clips REDS4/ --noise-level high --max-windows 4 --crop 256",
    "burstfix evaluate --photos photos/ --per-photo 6 --crop 192 -m kpn -m runs/kpn/kpn.safetensors",
    "burstfix evaluate --clips REDS4/ --protocol grey -m nlm -m average -m kpn",
    "burstfix evaluate --bursts shots/ -m average -m kpn:1 -m kpn",
    "burstfix evaluate --photos photos/ --save-pictures compared/ --markdown",
)


@click.command("evaluate", epilog=epilog(*EXAMPLES))
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="A clip (a folder of PNG frames) or a folder of clips; REDS4 protocol.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE|FOLDER",
    help="Photographs; bursts with known motion are simulated from them.",
)
@click.option(
    "--bursts",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="A real burst of four or more raws; the merge is compared with frames that were left out of it.",
)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="NAME|FILE[+V][:N]",
    help="Model or reference method to evaluate; +V averages V views (1, 2, 4, 8), :N uses N frames. "
    "Reference methods: menon (one frame, demosaicked), nlm, wavelet, bm3d, hdrplus. May be given several "
    "times.  [default: menon and all usable built-in models, networks also with :1 and +8]",
)
@click.option(
    "--protocol",
    type=click.Choice(["color", "grey", "grey-picture"]),
    default="color",
    show_default=True,
    help="Colour bursts, or grey bursts as in the paper on deformable kernels. For grey bursts, the denoised "
    "mosaics are compared, or (grey-picture) the merged pictures.",
)
@click.option(
    "--noise-level",
    "levels",
    type=click.Choice(["high", "low", "base"]),
    multiple=True,
    help="Noise level; may be given several times.  [default: high and low]",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 32),
    default=5,
    show_default=True,
    metavar="N",
    help="Number of frames in each burst.",
)
@click.option(
    "--max-windows",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Number of bursts from each clip, evenly spaced; 0 = all.  [default: 0]",
)
@click.option(
    "--per-photo",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of bursts from each photograph.",
)
@click.option(
    "--crop",
    type=click.IntRange(min=0),
    default=0,
    metavar="PIXELS",
    help="Height and width of the evaluated part; 0 = whole frames of clips, and 512 pixels of photographs.  "
    "[default: 0]",
)
@click.option(
    "--baseline",
    metavar="ROW",
    default=None,
    help="Row that the others are compared with.  [default: the first]",
)
@click.option(
    "--lpips",
    is_flag=True,
    help="Also measure LPIPS, a perceptual distance (extra lpips; see docs/quality.md).",
)
@click.option("--markdown", is_flag=True, help="Print Markdown tables, as in the README.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Also write the JSON document to this file.",
)
@click.option(
    "--save-pictures",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Save the results side by side, as one PNG for each clip and noise level.",
)
@click.option(
    "--recorrupted",
    is_flag=True,
    help="With --bursts: measure the error with recorrupted pairs, not with held-out frames.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, metavar="N", help="Number of processor threads."
)
@options.settings(options.MERGE[name] for name in ("device", "tile", "precision"))
@click.option("--overwrite", is_flag=True, help="Replace the output file if it exists.")
@options.verbosity
@options.pass_terminal
def command(
    terminal: Terminal,
    typed: dict[str, Any],
    clips: tuple[Path, ...],
    photos: tuple[Path, ...],
    bursts: tuple[Path, ...],
    models: tuple[str, ...],
    protocol: Protocol,
    levels: tuple[str, ...],
    frames: int,
    max_windows: int,
    per_photo: int,
    crop: int,
    baseline: str | None,
    lpips: bool,
    markdown: bool,
    output: Path | None,
    save_pictures: Path | None,
    recorrupted: bool,
    threads: int | None,
    overwrite: bool,
) -> None:
    """Measure the quality of models on bursts with or without ground truth.

    Bursts are processed as in `merge`: global motion, block matching, tiles. With ground truth (--clips,
    --photos), PSNR and SSIM are means over clips or photographs, with 95% confidence intervals. A second
    table shows the differences between models on the same bursts. s/megapixel is the time for block matching
    and merging. Without ground truth (--bursts), the mean squared error is estimated.
    """  # fmt: skip
    compute = MergeSettings(**typed)
    if 0 < crop < 32:
        raise UsageError(f"--crop {crop}: SSIM and alignment need at least 32 pixels")
    if markdown and terminal.json:
        raise UsageError("--markdown and --json cannot be used together")
    if not clips and not photos and not bursts:
        raise UsageError("nothing to evaluate; give --clips, --photos or --bursts")
    if bursts and (clips or photos or lpips or markdown or save_pictures):
        raise UsageError(
            "--bursts cannot be used with --clips, --photos, --lpips, --markdown or --save-pictures; leave "
            "them out"
        )
    if protocol != "color" and (bursts or lpips):
        raise UsageError(f"--protocol {protocol} cannot be used with --bursts or --lpips")
    if recorrupted and not bursts:
        raise UsageError("--recorrupted can be used only with --bursts")
    if output is not None and (not output.parent.is_dir() or (output.exists() and not overwrite)):
        reason = "already exists; add --overwrite" if output.exists() else "its folder does not exist"
        raise OutputError(f"{output}: {reason}")

    import torch

    from burstfix.evaluation import tables
    from burstfix.evaluation.methods import default_methods, load_methods
    from burstfix.evaluation.protocol import Limits, find_clips, find_photos
    from burstfix.evaluation.run import evaluate, machine

    distance = None
    if lpips:
        from burstfix.evaluation import perceptual

        distance = perceptual.lpips()
    if threads:
        torch.set_num_threads(threads)
    found_clips, found_photos = find_clips(clips), find_photos(photos)
    methods = load_methods(
        models or default_methods(),
        device=compute.device,
        tile=compute.tile,
        precision=compute.precision,
        protocol=protocol,
    )
    labels = [method.label for method in methods]
    if baseline is not None and baseline not in labels:
        raise UsageError(f"--baseline {baseline}: there is no such row; choose from {', '.join(labels)}")
    if bursts:
        from burstfix.evaluation import held_out_tables
        from burstfix.evaluation.held_out import evaluate_held_out
        from burstfix.evaluation.recorrupted import evaluate_recorrupted

        measure = evaluate_recorrupted if recorrupted else evaluate_held_out
        with terminal.progress() as progress:
            found = measure(methods, bursts, progress=progress)
        results = held_out_tables.document(found, baseline or labels[0])
        document = {"machine": machine(compute.device), "results": results}
        _write(records.HeldOut, document, output, overwrite)
        terminal.result(
            records.HeldOut, document, lambda _: held_out_tables.rich_tables(found, baseline or labels[0])
        )
        return
    limits = Limits(frames=frames, windows=max_windows, crop=crop, per_photo=per_photo)
    keeper = _PictureKeeper(save_pictures) if save_pictures else None
    with terminal.progress() as progress:
        scores = evaluate(
            methods,
            found_clips,
            found_photos,
            levels or ("high", "low"),
            limits,
            protocol=protocol,
            distance=distance,
            progress=progress,
            on_case=keeper,
        )
    hardware = machine(compute.device)
    document = tables.document(scores, hardware, limits, baseline or "")
    _write(records.Evaluate, document, output, overwrite)
    as_text = tables.markdown if markdown else tables.rich_tables
    terminal.result(records.Evaluate, document, lambda _: as_text(scores, hardware, baseline or ""))


def _write(
    kind: type[records.Document], document: dict[str, Any], output: Path | None, overwrite: bool
) -> None:
    if output is not None:
        from burstfix.atomic import atomic_path

        text = json.dumps(records.complete(kind, document), indent=2, allow_nan=False)
        with atomic_path(output, overwrite) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


class _PictureKeeper:
    """Callback that saves the first case of each clip and noise level."""

    def __init__(self, folder: Path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be created ({error.strerror})") from error
        self.folder = folder
        self.seen: set[str] = set()

    def __call__(self, case: Case, shown: dict[str, Tensor]) -> None:
        from burstfix.evaluation.pictures import save_side_by_side

        name = f"{case.source}_{case.clip.replace('/', '_')}_{case.level}.png"
        if name not in self.seen:
            self.seen.add(name)
            save_side_by_side({**shown, "truth": case.truth}, self.folder / name)
