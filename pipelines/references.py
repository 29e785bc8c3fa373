"""Stage `references`: what estimates are scored against, the true test sources and the same through the codec."""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from pipelines import run_stage
from ucr.codecs import make_codec
from ucr.data.held_out import HeldOut, held_out_stores
from ucr.foundation.checkpoints import default_device
from ucr.foundation.errors import command
from ucr.foundation.files import replacing, write_audio, write_json
from ucr.foundation.hashes import files_hash
from ucr.foundation.params import load_params

OUT = Path("references")


@command
def main() -> None:
    params = load_params()
    segments = HeldOut(held_out_stores())
    device = default_device()
    codec = make_codec(params.codec, segments.sample_rate, str(device))
    with replacing(OUT) as temporary:
        for segment in tqdm(segments, desc="references", total=len(segments), unit="segment"):
            sources = torch.from_numpy(segment.sources).to(device)
            mixture = torch.from_numpy(segment.mixture).to(device)
            with torch.no_grad():
                decoded = codec.decode_components(codec.encode(sources)[None], mixture[None])[0]
            folder = temporary / "waveform" / segment.name
            write_audio(folder / "mixture.wav", segment.mixture, segments.sample_rate)
            for name, true, coded in zip(
                segments.sources, segment.sources, decoded.cpu().numpy(), strict=True
            ):
                write_audio(folder / f"{name}.wav", true, segments.sample_rate)
                write_audio(temporary / "codec" / segment.name / f"{name}.wav", coded, segments.sample_rate)
        write_json(temporary / "card.json", {"hash": files_hash(temporary / "waveform", temporary / "codec")})


if __name__ == "__main__":
    run_stage(main, __doc__)
