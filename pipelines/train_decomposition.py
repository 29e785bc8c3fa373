"""Stage `train_decomposition`: latents of mixtures -> models/decomposition. True sources are never read."""

from __future__ import annotations

from pathlib import Path

from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.data.segments import SegmentStore
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.params import load_params
from ucr.training.decomposition import make_setting, train_rounds
from ucr.training.latents import open_latents
from ucr.training.results import model_card, save_training
from ucr.training.trainer import finish, is_first

OUT = Path("models/decomposition")


@command
def main() -> None:
    params = load_params()
    codec = make_codec(params.codec, params.segments.sample_rate)
    training, validation = (
        open_latents("latents", split, codec, params.sources) for split in ("train", "validation")
    )
    setting = make_setting(params, training.meta)
    segments = SegmentStore("segments", "train")
    jobs, history = train_rounds(params, setting, training, validation, codec, segments)
    *earlier, job = jobs
    what = "decomposition model: encoders and shared denoiser"
    save_training(
        OUT, job, setting.to_config(), model_card(params, job, history, default_device(), what), history
    )
    for each in earlier if is_first() else []:
        finish(each)


if __name__ == "__main__":
    run_stage(main, __doc__)
