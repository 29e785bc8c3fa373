from contextlib import suppress

import numpy as np
import pytest
import soundfile
import torch

from ucr.foundation.errors import UserError
from ucr.program import streaming
from ucr.program.streaming import AudioReader

RATE = 8000
INAUDIBLE = 10 ** (-90 / 20)


def write_song(path, audio, rate=RATE):
    """Write float[channels, n_samples] exactly."""
    soundfile.write(str(path), np.atleast_2d(audio).T, rate, subtype="FLOAT")
    return path


def halves(mixture):
    """A method: low and high frequencies, as the benchmark's contract scales them."""
    spectrum = np.fft.rfft(mixture)
    low = np.fft.irfft(spectrum * (np.arange(len(spectrum)) < len(spectrum) / 3), len(mixture))
    return 2 * np.stack([low, mixture - low]).astype(np.float32)


def swapping():
    """`halves` whose stems come in the other order in every second window."""
    calls = iter(range(1000))
    return lambda mixture: halves(mixture)[:: 1 if next(calls) % 2 == 0 else -1]


def noise(channels, n_samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (channels, n_samples)).astype(np.float32)


def chord(n_samples, rate=RATE):
    time = np.arange(n_samples) / rate
    return 0.1 * np.stack([np.sin(2 * np.pi * hertz * time) for hertz in (220, 3000)]).astype(np.float32)


def separated(path, method, sample_rate=RATE, **options):
    with AudioReader(path) as song:
        return np.concatenate(list(streaming.stems(song, method, sample_rate, **options)), axis=-1)


@pytest.mark.parametrize("n_samples", [1, 99, 1000, 1001, 5250 * 8, 56000, 56001, 98000, 200003])
def test_windows_cover_every_sample_and_end_where_the_song_does(tmp_path, n_samples):
    audio = noise(2, n_samples)
    with AudioReader(write_song(tmp_path / "song.wav", audio)) as song:
        position = 0
        for step, window in streaming.windows(song.read, 1000, 750):
            position += step
            np.testing.assert_array_equal(window, audio[:, position : position + 1000])
        assert position + window.shape[1] == n_samples


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("rate", "method_rate"), [(8000, 8000), (44100, 24000), (16000, 24000), (11025, 24000)]
)
@pytest.mark.parametrize("seconds", [0.0001, 0.5, 7.0, 23.4])
def test_masked_stems_add_up_to_the_song(tmp_path, channels, rate, method_rate, seconds):
    audio = noise(channels, max(1, round(seconds * rate)))
    stems = separated(write_song(tmp_path / "song.wav", audio, rate), halves, method_rate)
    assert stems.shape == (2, *audio.shape)
    assert np.abs(stems.sum(axis=0) - audio).max() < INAUDIBLE * np.abs(audio).max()


def test_silence_and_a_method_that_gives_nothing_still_add_up(tmp_path):
    audio = noise(1, 3 * RATE)
    audio[:, : 2 * RATE] = 0
    stems = separated(write_song(tmp_path / "song.wav", audio), lambda m: np.zeros((3, len(m)), np.float32))
    assert np.isfinite(stems).all()
    assert np.abs(stems.sum(axis=0) - audio).max() < INAUDIBLE * np.abs(audio).max()


@pytest.mark.parametrize("mask", [True, False])
def test_a_steady_sound_has_no_seams(tmp_path, mask):
    tones = chord(30 * RATE)
    path = write_song(tmp_path / "song.wav", tones.sum(axis=0))
    windowed = separated(path, halves, mask=mask)[:, 0]
    whole = separated(path, halves, mask=mask, window=40.0)[:, 0]
    inner = slice(RATE, -RATE)
    assert np.abs(windowed - whole)[:, inner].max() < 0.002 * np.abs(tones).max()
    assert np.abs(windowed - tones)[:, inner].max() < 0.01 * np.abs(tones).max()
    jumps = np.abs(np.diff(windowed[0, inner]))
    assert jumps.max() < 1.01 * np.abs(np.diff(tones[0])).max()


def test_stems_keep_their_order_though_the_method_swaps_them(tmp_path):
    tones = chord(40 * RATE)
    path = write_song(tmp_path / "song.wav", tones.sum(axis=0))
    kept = separated(path, swapping(), ordered=False)
    np.testing.assert_allclose(kept, separated(path, halves), atol=1e-5)
    assert np.abs(separated(path, swapping(), ordered=True) - kept).max() > 0.05


def test_three_stems_in_any_order_are_put_right(tmp_path):
    tones = np.concatenate([chord(30 * RATE), noise(1, 30 * RATE)])
    path = write_song(tmp_path / "song.wav", tones.sum(axis=0))
    rng, start = np.random.default_rng(0), iter(range(0, 30 * RATE, round(5.25 * RATE)))

    def method(mixture):
        first = next(start) if len(mixture) == 7 * RATE else 0
        first = min(first, 30 * RATE - len(mixture))
        return 3 * tones[rng.permutation(3), first : first + len(mixture)]

    stems = separated(path, method, ordered=False, mask=False)[:, 0]
    order = [int(np.argmax(tones[:, :RATE] @ stem[:RATE])) for stem in stems]
    np.testing.assert_allclose(stems, tones[order], atol=1e-5)


def test_every_channel_is_shared_alike(tmp_path):
    tone = chord(10 * RATE)
    audio = np.stack([tone[0] + tone[1], 0.5 * tone[0] + 0.25 * tone[1]])
    stems = separated(write_song(tmp_path / "song.wav", audio), halves)
    inner = slice(RATE, -RATE)
    np.testing.assert_allclose(stems[0, 1, inner], 0.5 * tone[0, inner], atol=1e-3)
    np.testing.assert_allclose(stems[1, 1, inner], 0.25 * tone[1, inner], atol=1e-3)


@pytest.mark.parametrize("n_samples", [1, 100, 1024, 5000, 44100])
def test_the_inverse_transform_is_that_of_torch(n_samples):
    audio = torch.from_numpy(noise(2, n_samples))
    settings = {"n_fft": 1024, "hop_length": 256, "window": torch.hann_window(1024)}
    spectra = torch.stft(audio, **settings, pad_mode="constant", return_complex=True)
    inverse = streaming.inverse(0.5 * spectra, n_samples)
    np.testing.assert_allclose(inverse, torch.istft(0.5 * spectra, **settings, length=n_samples), atol=1e-6)
    np.testing.assert_allclose(inverse, 0.5 * audio, atol=1e-6)


def test_an_error_of_the_method_is_the_song_s(tmp_path):
    def method(mixture):
        raise UserError("the method fails")

    with pytest.raises(UserError, match="the method fails"):
        separated(write_song(tmp_path / "song.wav", chord(20 * RATE)), method)


def test_the_last_stem_is_what_its_own_mask_gives():
    """It is what the others leave, which no order of the stems may tell."""
    mixture, estimates = noise(2, 5 * 44100), noise(3, 5 * 44100, seed=1)
    stems = streaming.split_by_masks(mixture, estimates, 44100, 10800)
    turned = streaming.split_by_masks(mixture, estimates[[2, 0, 1]], 44100, 10800)
    np.testing.assert_allclose(stems[[2, 0, 1]], turned, atol=1e-6 * np.abs(mixture).max())


def test_what_the_method_cannot_hear_follows_what_lies_below_it(tmp_path):
    """A burst with all frequencies goes to the stem of the burst, also above the method's half rate."""
    rate, n_samples = 44100, 3 * 44100
    burst = noise(1, n_samples)
    burst[:, : 44100 * 2] = 0
    hum = 0.1 * np.sin(2 * np.pi * 100 * np.arange(n_samples) / rate)[None].astype(np.float32)

    def method(mixture):
        half = len(mixture) * 2 // 3
        late = np.where(np.arange(len(mixture)) >= half, mixture, 0)
        return 2 * np.stack([mixture - late, late]).astype(np.float32)

    stems = separated(write_song(tmp_path / "song.wav", burst + hum, rate), method, 24000)
    above = np.abs(np.fft.rfft(stems[:, 0, int(2.2 * rate) : int(2.8 * rate)]))[:, int(0.6 * 15000) :]
    assert (above[1] ** 2).sum() > 1000 * (above[0] ** 2).sum()


def test_unmasked_stems_are_the_estimates_on_the_song_s_scale(tmp_path):
    audio = noise(2, 3 * RATE)
    stems = separated(write_song(tmp_path / "song.wav", audio), halves, mask=False)
    assert stems.shape == (2, 1, 3 * RATE)
    np.testing.assert_allclose(stems[:, 0], halves(audio.mean(axis=0)) / 2, atol=1e-6)


def test_reading_at_another_rate_is_the_same_piece_by_piece(tmp_path):
    import soxr

    audio = noise(2, 44100)
    with AudioReader(write_song(tmp_path / "song.wav", audio, 44100)) as song:
        read = song.mono(24000)
        pieces = [read(size) for size in [1000, 7, 20000, 5000, 5000]]
    assert [piece.shape[1] for piece in pieces] == [1000, 7, 20000, 2993, 0]
    whole = soxr.resample(audio.mean(axis=0), 44100, 24000)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1)[0], whole, atol=1e-4)


def test_a_sample_that_is_no_number_is_named_late_in_a_song_too(tmp_path):
    audio = noise(1, 30 * RATE)
    audio[0, 29 * RATE] = np.nan
    with pytest.raises(UserError, match=r"song\.wav holds samples that are not finite"):
        separated(write_song(tmp_path / "song.wav", audio), halves)


def test_files_come_whole_or_not_at_all(tmp_path):
    paths = [tmp_path / "out" / "a.wav", tmp_path / "out" / "b.wav"]
    audio = noise(4, 1000).reshape(2, 2, 1000)
    with suppress(KeyError), streaming.writing(paths, RATE, 2, 1000) as write:
        write(audio)
        raise KeyError
    assert list((tmp_path / "out").iterdir()) == []
    with streaming.writing(paths, RATE, 2, 1000) as write:
        write(audio[..., :300])
        write(audio[..., 300:])
        assert not paths[0].exists()
    for path, own in zip(paths, audio, strict=True):
        found, rate = soundfile.read(str(path), dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(found.T, own)


def test_songs_too_long_for_wav_become_rf64(tmp_path):
    with streaming.writing([tmp_path / "a.wav"], 44100, 2, 4 * 3600 * 44100) as write:
        write(noise(2, 100)[None])
    assert soundfile.info(str(tmp_path / "a.wav")).format == "RF64"
