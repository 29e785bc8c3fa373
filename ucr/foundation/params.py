"""The parameters of a run, checked: what `params.yaml` may hold, and what each key means."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ucr.foundation.data_params import DataParams, SourceName, TestSetParams
from ucr.foundation.executor import ExecutorParams
from ucr.foundation.network_params import EncoderParams, IadbParams, UNetParams
from ucr.foundation.schema import PARAMS_FILE, Section, checked, merge, read_yaml

TRAINED_CODEC = "models/codec"  # where train_codec writes
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # of a method, and so of files


class SegmentParams(Section):
    """How songs are cut: rate in Hz, length in seconds, and the least RMS every source of a segment must have."""

    sample_rate: int = Field(gt=0, le=384_000)
    seconds: float = Field(ge=1, le=3600)
    min_rms: float = Field(ge=0)


class CodecParams(Section):
    """Which latent space.

    `mel` takes `bands` and `power` (the compression exponent of magnitudes); the published EnCodecs take
    `bandwidth` in kbit/s and `weights`, a file to use in place of encodec's own download. `needs` is what the codec
    is read from, as a method's: `segments` (nothing else), or for `encodec_mini` the folder of its trained weights.
    """

    name: Literal["mel", "encodec_24khz", "encodec_48khz", "encodec_mini"]
    bands: int = Field(ge=8)
    power: float = Field(gt=0, le=1)
    bandwidth: float = Field(gt=0)
    weights: str | None
    needs: str = "segments"  # weights from before there was this key lack it

    @model_validator(mode="after")
    def _weights_are_named(self) -> CodecParams:
        if self.name == "encodec_mini" and self.needs == "segments":
            raise ValueError(f"encodec_mini needs the folder of its weights: set `needs` to {TRAINED_CODEC}")
        return self


class OptimParams(Section):
    """One training: the same keys for every trained part.

    It lasts `steps` steps, or `epochs` times the training split; one of the two is given. With `patience` it ends
    sooner, after so many validations without a new least `validation_loss` (0: never), and the averaged weights of the
    least one are kept; the rate is constant then, since nobody knows when it should have fallen. A step takes
    `batch` crops of `crop` latent frames, in `accumulate` parts one after the other where memory is short,
    on all processes together; `warmup` steps of linear rise to `lr`; `clip` is
    the largest gradient norm (0: none); `ema` the decay of the averaged weights that are shipped (0:
    none); `validate_every` steps between validations, which are also when a checkpoint is kept.
    """

    steps: int | None = Field(default=None, gt=0)
    epochs: int | None = Field(default=None, gt=0)
    batch: int = Field(gt=0)
    accumulate: int = Field(default=1, gt=0)
    crop: int = Field(gt=0)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: int = Field(ge=0)
    clip: float = Field(ge=0)
    ema: float = Field(ge=0, lt=1)
    validate_every: int = Field(gt=0)
    patience: int = Field(default=0, ge=0)
    schedule: Literal["constant", "cosine"]

    @model_validator(mode="after")
    def _one_length(self) -> OptimParams:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs (the other null)")
        return self

    @model_validator(mode="after")
    def _parts_are_even(self) -> OptimParams:
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} has no {self.accumulate} even parts: fix accumulate")
        return self

    @model_validator(mode="after")
    def _patience_fits(self) -> OptimParams:
        if self.patience and self.schedule == "cosine":
            raise ValueError(
                "patience may end a training before a cosine's rate has fallen: set schedule to constant"
            )
        return self

    def total_steps(self, items: int) -> int:
        """Steps of a training on `items` segments."""
        return self.steps or math.ceil(items / self.batch) * (self.epochs or 0)


class CodecTrainingParams(Section):
    """The training of `encodec_mini`, whose `crop` is in samples.

    Its decoder's network has `filters` channels, and its quantiser has `codebooks` of `codebook_size` entries each.
    """

    filters: int = Field(gt=0)
    codebooks: int = Field(gt=0)
    codebook_size: int = Field(gt=1)
    optim: OptimParams

    @field_validator("codebook_size")
    @classmethod
    def _bits_are_whole(cls, size: int) -> int:
        if size & (size - 1):
            raise ValueError("a codebook holds a power of two entries")
        return size


class GroupingParams(Section):
    """Where the spectra of sounds that are not percussive cluster: `within` each `song` or a whole `split`, by timbre
    alone or, with `spectral_centroid`, by that too. A parameter of the study alone (`benchmarks/ablation.yaml`):
    `cues`, which tell percussive sounds from others: median `filters`, `clusters` of spectra or the mean of `both`.
    """

    cues: Literal["filters", "clusters", "both"] = "both"
    within: Literal["song", "split"] = "song"
    spectral_centroid: bool = True


class DecompositionParams(Section):
    """The decomposition model.

    `composition` joins the components' outputs into the mixture. `normalise` brings latents to one
    scale: by each mixture's own `level`, or not at all (`none`, the paper's). For the `guided` share of the
    training, from its start, components are also drawn to a blind `grouping` of the mixture
    (`ucr.training.grouping`), and a share `remix` of its crops puts such components of different mixtures together,
    their tones changed by `equalise` dB (a standard deviation); 0, the paper's, is composition alone. The components'
    energies are also kept from rising and falling together, by `ucr.model.decomposition.dependence` in the loss, whose
    weight rises from 0 at the start to `independence` at the end (0, the paper's: not at all).

    With `first` there is self-training: a model is trained with these differences, and what it makes of the mixtures,
    refined as `ucr_adapted` does, takes the grouping's place when this one trains. With `guided: 0` in `first`, no
    grouping has a part in either.

    A parameter of the study alone (`benchmarks/ablation.yaml`): `normalise` by the `dataset`'s statistics.
    """

    composition: Literal["mean", "magnitude_sum"]
    normalise: Literal["none", "dataset", "level"]
    guided: float = Field(ge=0, le=1)
    grouping: GroupingParams = GroupingParams()
    remix: float = Field(ge=0, le=1)
    equalise: float = Field(ge=0)
    independence: float = Field(default=0.0, ge=0)
    first: dict[str, Any] | None = None
    encoder: EncoderParams
    denoiser: UNetParams
    iadb: IadbParams
    optim: OptimParams

    @model_validator(mode="after")
    def _variant_fits(self) -> DecompositionParams:
        if self.composition == "magnitude_sum" and self.iadb.variant == "d":
            raise ValueError("magnitude_sum composes clean latents: it needs iadb.variant c")
        if self.guided and self.composition != "magnitude_sum":
            raise ValueError("guided groups magnitudes: it needs composition magnitude_sum")
        if self.independence and self.composition != "magnitude_sum":
            raise ValueError("independence is of magnitudes' energies: it needs composition magnitude_sum")
        if self.first is not None and not self.guided:
            raise ValueError("with first, a model's estimates guide the next: it needs guided above 0")
        return self

    @model_validator(mode="after")
    def _first_fits(self) -> DecompositionParams:
        try:
            _ = self.trainings
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(map(str, ("first", *wrong["loc"])))
            raise ValueError(f"{place}: {wrong['msg'].removeprefix('Value error, ')}") from None
        return self

    @property
    def trainings(self) -> list[DecompositionParams]:
        """The parameters of each training, in their order."""
        if self.first is None:
            return [self]
        alone = self.model_dump() | {"first": None}
        return [DecompositionParams.model_validate(merge(alone, self.first)), self]


class PriorParams(Section):
    """The masking diffusion over component latents; `full_mask_share` of the draws generate every
    component; `normalise` standardises the latents first."""

    full_mask_share: float = Field(ge=0, le=1)
    normalise: bool
    denoiser: UNetParams
    iadb: IadbParams
    optim: OptimParams


class NetworkParams(Section):
    """A trained baseline: keywords of its network, and its training, whose `crop` is in samples (that of `bootstrap`,
    which works on latents, in frames)."""

    network: dict[str, Any]
    optim: OptimParams


LearnedSpace = Literal["vggish", "clap"]


class GenerationParams(Section):
    """What `generate` makes: `count` new clips, and of `songs` test segments the rebuilt, varied and partly replaced
    ones; sampling steps of the prior and of the decomposition model; `guidance` of generated components by kept ones
    (0: the paper's); `strengths` of variations, from 0 (the song rebuilt) to 1 (from noise alone).

    `spaces` are the embeddings in which `score_generation` compares it with real songs; those of learned networks need
    the user's `weights`: a file for vggish, a folder for clap.
    """

    count: int = Field(gt=0)
    songs: int = Field(gt=0)
    prior_steps: int = Field(gt=0)
    steps: int = Field(gt=0)
    guidance: float = Field(ge=0)
    strengths: list[Annotated[float, Field(ge=0, le=1)]]
    spaces: list[Literal["latents", "log_mel"] | LearnedSpace] = Field(min_length=1)
    weights: dict[LearnedSpace, str | None]


class ScoreParams(Section):
    """BSS Eval v4's window and hop in seconds; how many bootstrap resamples a Fréchet distance's interval takes."""

    window: float = Field(ge=0.01)
    hop: float = Field(ge=0.01)
    bootstrap: int = Field(ge=100)


class CostParams(Section):
    """What the machine is taken to draw while training, in watts, for the estimate of energy."""

    watts: float = Field(gt=0)


class ReportParams(Section):
    """How many test segments the report lets one hear, and the folder of the authors' published examples (or None)."""

    segments: int = Field(ge=0)
    published: str | None


class Params(Section):
    """Everything a run depends on beside its data and code; `executor`, on which nothing depends, is in no dump.

    `tests` are further sets, by their names, that methods are scored on beside the test split of `data`.
    `variants` are further decomposition models, by their names: the differences of each from `decomposition`.
    """

    seed: int = Field(ge=0, lt=2**32)
    sources: list[SourceName] = Field(min_length=2)
    data: DataParams
    tests: dict[str, TestSetParams] = Field(default={})
    segments: SegmentParams
    codec: CodecParams
    codec_training: dict[Literal["encodec_mini"], CodecTrainingParams]
    decomposition: DecompositionParams
    variants: dict[str, dict[str, Any]]
    prior: PriorParams
    supervised: dict[str, NetworkParams]
    unsupervised: dict[Literal["bootstrap", "mixit"], NetworkParams]
    generation: GenerationParams
    scores: ScoreParams
    cost: CostParams
    report: ReportParams
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    executor: ExecutorParams = Field(default=ExecutorParams(), exclude=True)

    @property
    def task(self) -> str:
        """The task's name, such as `drums+bass`."""
        return "+".join(self.sources)

    @property
    def segment_samples(self) -> int:
        """Length of a segment in samples."""
        return round(self.segments.seconds * self.segments.sample_rate)

    @property
    def trainings(self) -> list[str]:
        """Names of the folders under `models` that the trainings write, but for the codec's."""
        return ["decomposition", *self.variants, "prior", *self.supervised, *self.unsupervised]

    @model_validator(mode="after")
    def _codec_is_trained(self) -> Params:
        if self.codec.needs == TRAINED_CODEC and not self.codec_training:
            raise ValueError(
                f"codec.needs: {TRAINED_CODEC} is made by codec_training, which is empty: add encodec_mini to it, as "
                "params/encodec_mini.yaml does"
            )
        return self

    @model_validator(mode="after")
    def _composition_fits(self) -> Params:
        if self.decomposition.composition == "magnitude_sum" and self.codec.name != "mel":
            raise ValueError(
                f"decomposition.composition: magnitude_sum needs non-negative latents, which {self.codec.name} "
                "has not: use mean"
            )
        return self

    @model_validator(mode="after")
    def _pseudo_labels_fit(self) -> Params:
        if "bootstrap" in self.unsupervised and self.codec.name != "mel":
            raise ValueError(
                f"unsupervised.bootstrap: pseudo-labels are magnitudes, which {self.codec.name} has none of: take it "
                "out there and under methods"
            )
        return self

    @field_validator("sources")
    @classmethod
    def _sources_differ(cls, sources: list[str]) -> list[str]:
        if len({name.lower() for name in sources}) != len(sources):
            raise ValueError("a source is named twice")
        return sources

    @model_validator(mode="after")
    def _songs_have_no_stems(self) -> Params:
        if self.data.name == "songs" and not self.tests:
            raise ValueError("data.name: songs are only trained on: name a set with stems under `tests`")
        if self.data.name == "songs" and self.supervised:
            raise ValueError(
                "data.name: songs have no true sources for supervised methods to learn from: set supervised to {} and "
                "take what needs it out under methods"
            )
        if self.data.name in self.tests:
            raise ValueError(f"tests.{self.data.name} has the name of `data`: choose another")
        return self

    @field_validator("methods", "supervised", "variants", "tests")
    @classmethod
    def _keys_are_names(cls, section: dict[str, Any]) -> dict[str, Any]:
        for name in section:
            if not IDENTIFIER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a file: use letters, digits and _")
        return section

    @field_validator("methods")
    @classmethod
    def _methods_need_something(cls, methods: dict[str, dict]) -> dict[str, dict]:
        for name, options in methods.items():
            if not isinstance(options.get("needs"), str):
                raise ValueError(f"{name} lacks `needs`: `segments`, or the path of its trained weights")
            if not isinstance(options.get("code"), str):
                raise ValueError(f"{name} lacks `code`: the path of its file, such as baselines/{name}.py")
        return methods


def load_params(path: str | Path = PARAMS_FILE) -> Params:
    """Read and check a params file.

    Raises
    ------
    UserError
        If the file is missing, is not YAML, or a key is missing, unknown or of a wrong type or value;
        the message names the key.
    """
    return check_params(read_yaml(path), path)


def check_params(values: dict, path: str | Path = PARAMS_FILE) -> Params:
    """Turn a mapping into `Params`; `path` is named in errors."""
    return checked(Params, values, path)
