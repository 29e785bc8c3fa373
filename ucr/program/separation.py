"""Songs into stems."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ucr.foundation.audio import open_audio, own_stems
from ucr.foundation.checkpoints import Separation, component_names, load_model
from ucr.foundation.errors import UserError
from ucr.foundation.files import read_audio, write_audio
from ucr.foundation.schema import checked
from ucr.methods.contract import Baseline, check_estimates
from ucr.program import streaming
from ucr.program.shipped import TASKS, save, shipped, sources_of
from ucr.program.streaming import AudioReader

METHOD = "ucr_pretrained"
OWN = "ucr"  # the method of weights of one's own that name no other
SAMPLE_RATE = 24000  # of methods without weights: the benchmark's


def separate(
    song: str | Path,
    out: str | Path,
    *,
    task: str | None = None,
    method: str | None = None,
    weights: str | Path | None = None,
    adapt: bool = False,
    steps: int | None = None,
    mask: bool = True,
    device: str | None = None,
    allow_truncated: bool = False,
) -> dict[str, Path]:
    """Separate a song into stems: 32-bit float WAV files in a folder of the song's name.

    The song may have any length, rate and number of channels. It is read in windows of 7 s, which
    overlap; the method hears the mean of the channels at its own rate, or the loudest one where they cancel.

    Parameters
    ----------
    song
        WAV, FLAC, MP3, OGG, M4A or what else FFmpeg reads; of a stem file its mixture.
    out
        Where the folder is put.
    task
        The sources, such as `drums+bass`; by default `drums+bass+other`, or `drums+bass` where the method can give two
        alone. For methods without weights it only says how many stems there are.
    method
        A name that `ucr baselines` lists, or the path of a file with a method of your own. By default
        `ucr_pretrained`, or the one that `weights` are of.
    weights
        A folder with trained weights, for methods whose weights don't ship, or others than those that do.
    adapt
        Train the weights further on the song itself first (see `ucr.train`), in at most twice its length on two cores.
    steps
        Sampling steps, for the methods that sample; by default 1, with which the benchmark's tables are made.
    mask
        Write the song's own spectrogram, shared in proportion to the estimates, with the song's channels:
        the stems add up to the song, less any constant offset. Otherwise write the estimates themselves, mono.
    device
        Such as `cpu` or `cuda`; by default the first GPU, or the CPU.
    allow_truncated
        Separate what there is of a song that is cut short: one that holds less than it announces.

    Returns
    -------
    dict
        Each stem's file by its name: the source's, or `component_i` where the method doesn't know which
        component is which source.

    Raises
    ------
    UserError
        If the song can't be read, or the method, the task and the weights don't go together.
    """
    with AudioReader(song, allow_truncated) as opened, ExitStack() as stack:
        if adapt:
            if method not in (None, OWN):
                raise UserError(f"{method} is not adapted to a song: leave out the method, or the adaptation")
            from ucr.program import learning

            own = Path(stack.enter_context(TemporaryDirectory()), "weights")
            learning.adapt(song, opened.n_samples / opened.sample_rate, weights or shipped(task), own)
            weights = own
        separator = load_separator(task, method, weights, steps, device)
        folder = Path(out) / opened.path.stem
        if opened.path.stem in (".", ".."):
            raise UserError(f"{song}: its stems would not be in a folder of their own in {out}: rename it")
        paths = {name: folder / f"{name}.wav" for name in separator.names}
        pieces = streaming.stems(
            opened, separator.separate, separator.sample_rate, mask=mask, ordered=separator.ordered
        )
        channels = opened.channels if mask else 1
        save(pieces, list(paths.values()), opened.sample_rate, channels, opened.n_samples, [opened])
    return paths


def unpack(song: str | Path, out: str | Path) -> dict[str, Path]:
    """Write the stems that a stem file (.stem.mp4) holds, as `separate` writes its own: references to score those by.

    Parameters
    ----------
    song
        A file with several audio streams, the mixture and its stems.
    out
        Where the folder of the song's name is put.

    Returns
    -------
    dict
        Each stem's file by its name: in lower case, as the file gives it.

    Raises
    ------
    UserError
        If the file can't be read or holds no stems.
    """
    path = Path(song)
    open_audio(path, counted=False).file.close()
    streams = own_stems(path)
    if not streams:
        raise UserError(f"{path} holds no stems of its own: name a stem file, such as song.stem.mp4")
    paths = {name: Path(out) / path.stem / f"{name}.wav" for name in streams}
    for name, stream in streams.items():
        write_audio(paths[name], *read_audio(path, stream=stream))
    return paths


@dataclass(frozen=True)
class Separator:
    """A method that is ready to separate.

    Attributes
    ----------
    separate
        float32[n_samples] at `sample_rate` -> float32[n, n_samples], which add up to about n times that.
    sample_rate
        In Hz.
    names
        Of the stems: sources where the method knows them, else `component_0` and so on.
    ordered
        Whether stem i is the same source for whatever it separates.
    """

    separate: Callable[[np.ndarray], np.ndarray]
    sample_rate: int
    names: list[str]
    ordered: bool


def load_separator(
    task: str | None = None,
    method: str | None = None,
    weights: str | Path | None = None,
    steps: int | None = None,
    device: str | None = None,
) -> Separator:
    """Make a method ready; the arguments are those of `separate`."""
    from ucr.methods.registry import find, make_method

    if method is None:
        method = load_model(weights)[1].get("method", OWN) if weights else METHOD
    meta = find(method).meta
    if meta.kind == "oracle":
        raise UserError(f"{method} is an oracle, which needs the true sources: choose another method")
    learned = meta.weights in ("trained", "shipped")
    card: dict = {}
    options: dict = {} if meta.weights == "none" or device is None else {"device": device}
    if not learned and weights:
        raise UserError(f"{method} takes no weights: leave them out")
    if meta.weights == "none" and device not in (None, "cpu"):
        raise UserError(f"{method} runs on the CPU: leave out the device")
    if steps is not None and not meta.steps:
        raise UserError(f"{method} samples nothing and takes no steps: leave them out")
    if meta.steps:
        options["steps"] = 1 if steps is None else steps

    if meta.weights == "shipped":
        if weights:
            raise UserError(f"{method} has weights of its own: choose the method ucr for those in {weights}")
        weights = shipped(task, meta.shipped)
    if not learned:
        able = (each for each in TASKS if not meta.inapplicable(len(sources_of(each))))
        sources, sample_rate = sources_of(task or next(able, TASKS[0])), SAMPLE_RATE
    elif weights is None:
        raise UserError(f"{method} needs weights, which don't ship: name the folder that its training made")
    else:
        _, config, card = load_model(weights)
        described = checked(Separation, config, weights, "name a folder with weights of a separation method")
        sources, sample_rate = described.sources, described.sample_rate
    if reason := meta.inapplicable(len(sources)):
        raise UserError(f"{reason}: choose another method or task")
    loaded = make_method(method, options)[1]
    assert isinstance(loaded, Baseline)
    folder = Path(weights or "")
    loaded.load(folder.parent if meta.weights == "shipped" else folder, sources)
    if learned and task and sorted(sources_of(task)) != sorted(sources):
        raise UserError(f"{weights} separates {'+'.join(sources)}, not {task}: leave out the task")

    def separate(mixture: np.ndarray) -> np.ndarray:
        try:
            estimates = loaded.separate(mixture, sample_rate, len(sources))
            check_estimates(estimates, len(sources), len(mixture))
        except ValueError as error:
            raise UserError(f"{method} fails: {error}; choose another method") from None
        return estimates

    names = sources if meta.labelled else component_names(card, len(sources))
    return Separator(separate, sample_rate, names, meta.labelled)
