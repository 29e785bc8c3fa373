"""Stage `latents`: segments -> latents, every mixture through the codec."""

from __future__ import annotations

from pathlib import Path

from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.training.latents import write_latents

OUT = Path("latents")
RUNS = Path("runs")  # the unfinished store: outside the output, which DVC deletes before the stage


@command
def main() -> None:
    params = load_params()
    segments = {split: SegmentStore("segments", split) for split in ("train", "validation", "test")}
    device = str(default_device())
    codec = make_codec(params.codec, segments["train"].sample_rate, device)
    write_latents(OUT, segments, codec, params.codec.model_dump(), RUNS, device)


if __name__ == "__main__":
    run_stage(main, __doc__)
