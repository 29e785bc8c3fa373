"""Instruments of `slakh_mini`: General MIDI programs with tone controls, weighted as pop music uses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ucr.data.slakh.song import Patch

# Voices of a drum kit by General MIDI key.
VOICES = {
    35: "kick", 36: "kick", 37: "rim", 38: "snare", 39: "clap", 40: "snare", 41: "tom", 42: "hat", 43: "tom",
    44: "hat", 45: "tom", 46: "open", 47: "tom", 48: "tom", 49: "crash", 50: "tom", 51: "ride", 52: "crash",
    53: "ride", 55: "crash", 57: "crash", 59: "ride",
}  # fmt: skip

# Level in dB and decay in seconds of each voice, before a kit's own.
VOICING = {
    "kick": (1.0, 0.36), "snare": (-5.0, 0.5), "rim": (-6.0, 0.25), "clap": (-6.0, 0.35), "tom": (-6.0, 0.8),
    "hat": (-8.0, 0.25), "open": (-6.0, 0.7), "ride": (-12.0, 1.2), "crash": (-12.0, 2.0), "other": (-10.0, 0.6),
}  # fmt: skip


def _kit(
    name: str, program: int, weight: float, tune: float, room: float, test_only: bool = False, **voices
) -> Patch:
    return Patch(name, program, weight, tune=tune, room=room, voices=VOICING | voices, test_only=test_only)


KITS = [
    _kit("standard_kit", 0, 5, -4, 0.05),
    _kit("standard_kit_tight", 0, 4, -5, 0.02, kick=(2, 0.35), snare=(-4, 0.3)),
    _kit("standard_kit_bright", 0, 2, -2, 0.05, hat=(-4, 0.3), snare=(-2, 0.4)),
    _kit("room_kit", 8, 4, -3, 0.12),
    _kit("room_kit_deep", 8, 3, -5, 0.1, kick=(3, 0.5)),
    _kit("power_kit", 16, 3, -2, 0.1, kick=(3, 0.4), hat=(-14, 0.25), crash=(-18, 2)),
    _kit("electronic_kit", 24, 1, 0, 0.02, kick=(-11, 0.22), snare=(2, 0.4)),
    _kit("tr808_kit", 25, 1, 0, 0.01, kick=(-12, 0.5), snare=(2, 0.3), hat=(-18, 0.15), open=(-18, 0.5)),
    _kit("brush_kit", 40, 1, -3, 0.08, kick=(-1, 0.4), hat=(-14, 0.25)),
    _kit("jazz_kit_low", 32, 2, -5, 0.08, True),
    _kit("orchestra_kit", 48, 1, -2, 0.12, True, kick=(-3, 0.4), snare=(-2, 0.4)),
]

BASSES = [
    Patch("finger_bass", 33, 6, 550, 55, attack=0.012, decay=10, release=0.37),
    Patch("finger_bass_muted", 33, 2, 400, 55, attack=0.01, decay=3, release=0.33),
    Patch("pick_bass", 34, 3, 900, 60, attack=0.006, decay=9, release=0.35),
    Patch("acoustic_bass", 32, 0.8, 900, 80, attack=0.012, decay=9, release=0.45),
    Patch("fretless_bass", 35, 1.5, 700, 65, attack=0.015, decay=12, release=0.4),
    Patch("slap_bass", 36, 0.4, 1800, 55, decay=7, release=0.33),
    Patch("synth_bass", 38, 1.5, 700, 50, attack=0.006, release=0.33),
    Patch("slap_bass_2", 37, 0.4, 900, 55, attack=0.01, decay=10, release=0.35, test_only=True),
    Patch("synth_bass_2", 39, 1.5, 600, 55, attack=0.006, release=0.33, test_only=True),
]

PIANOS = [
    Patch("grand_piano", 0, 5, low_cut=60, release=0.3),
    Patch("grand_piano_mellow", 0, 3, 1800, 60, release=0.4),
    Patch("bright_piano", 1, 3, low_cut=60, release=0.25),
    Patch("electric_grand", 2, 1, low_cut=60, release=0.25),
    Patch("electric_piano", 4, 2.5, 4000, 60, release=0.25),
    Patch("electric_piano_fm", 5, 2, 6000, 60, release=0.25),
    Patch("honky_tonk", 3, 1, low_cut=60, release=0.2, test_only=True),
    Patch("clavinet", 7, 1, 5000, 80, release=0.06, test_only=True),
]

GUITARS = [
    Patch("nylon_guitar", 24, 2, low_cut=80, release=0.15),
    Patch("steel_guitar", 25, 4, low_cut=80, release=0.15),
    Patch("clean_guitar", 27, 4, 6000, 90, release=0.12),
    Patch("muted_guitar", 28, 1.5, 5000, 90, release=0.05),
    Patch("overdriven_guitar", 29, 2, 5000, 90, release=0.1),
    Patch("distortion_guitar", 30, 2, 4500, 90, release=0.1),
    Patch("jazz_guitar", 26, 1, 3000, 90, release=0.15, test_only=True),
]

ORGANS = [
    Patch("drawbar_organ", 16, 3, 5000, 80, release=0.08),
    Patch("percussive_organ", 17, 2, 5000, 80, release=0.08),
    Patch("rock_organ", 18, 2, 5000, 80, release=0.08),
    Patch("accordion", 21, 0.7, low_cut=80, release=0.1),
    Patch("church_organ", 19, 0.5, low_cut=80, release=0.3, test_only=True),
]

STRINGS = [
    Patch("string_ensemble", 48, 4, 7000, 90, release=0.5),
    Patch("slow_strings", 49, 2, 6000, 90, release=0.6),
    Patch("synth_strings", 50, 2, 6000, 90, release=0.5),
    Patch("choir_aahs", 52, 1.5, low_cut=90, release=0.4),
    Patch("synth_strings_2", 51, 1, 5000, 90, release=0.5, test_only=True),
]

PADS = [
    Patch("warm_pad", 89, 3, 4000, 90, release=0.6),
    Patch("polysynth_pad", 90, 2, 5000, 90, release=0.3),
    Patch("halo_pad", 94, 1, low_cut=90, release=0.6),
    Patch("new_age_pad", 88, 1, low_cut=90, release=0.6, test_only=True),
]

LEADS = [
    Patch("square_lead", 80, 1, 5000, 120, release=0.08),
    Patch("saw_lead", 81, 1.5, 5000, 120, release=0.08),
]
REEDS = [
    Patch("alto_sax", 65, 2, low_cut=100),
    Patch("tenor_sax", 66, 2, low_cut=90),
    Patch("clarinet", 71, 1, low_cut=100),
]
PIPES = [Patch("flute", 73, 2, low_cut=150), Patch("pan_flute", 75, 0.5, low_cut=150)]
BRASSES = [
    Patch("trumpet", 56, 1.5, low_cut=100),
    Patch("brass_section", 61, 3, 6000, 90),
    Patch("synth_brass", 62, 1, 5000, 90),
]
BELLS = [
    Patch("vibraphone", 11, 1.5, low_cut=100, release=0.5),
    Patch("glockenspiel", 9, 1, low_cut=200, release=0.6),
]

EFFECTS = [Patch("rain", 96), Patch("echoes", 102), Patch("sci_fi", 103)]

CLASSES = {
    "Drums": KITS, "Bass": BASSES, "Piano": PIANOS, "Guitar": GUITARS, "Organ": ORGANS,
    "Strings (continued)": STRINGS, "Synth Pad": PADS, "Synth Lead": LEADS, "Reed": REEDS, "Pipe": PIPES,
    "Brass": BRASSES, "Chromatic Percussion": BELLS,
}  # fmt: skip


def draw_patch(rng: np.random.Generator, inst_class: str, split: str) -> Patch:
    """Draw a patch of a class by weight and set it up for one song.

    The test split alone draws those kept for it. No two songs have quite the same tone: cutoff,
    decay and a kit's levels and tuning vary about the patch's.
    """
    patches = [patch for patch in CLASSES[inst_class] if split == "test" or not patch.test_only]
    weights = np.array([patch.weight for patch in patches])
    patch = patches[rng.choice(len(patches), p=weights / weights.sum())]
    tone, life, *levels = np.exp2(rng.normal(0, 0.3, 2 + len(patch.voices)))
    return replace(
        patch,
        cutoff=patch.cutoff * tone,
        decay=patch.decay * life,
        tune=patch.tune + (rng.normal(0, 0.8) if patch.voices else 0),
        voices={
            name: (level + 20 * np.log10(change), decay * life)
            for (name, (level, decay)), change in zip(patch.voices.items(), levels, strict=True)
        },
    )


def patch_for(program: int, is_drum: bool) -> Patch:
    """The patch that plays a General MIDI program or kit: the first of those above, or the program as it is."""
    if is_drum:
        return next((kit for kit in KITS if kit.program == program), KITS[0])
    patches = [patch for patches in CLASSES.values() if patches is not KITS for patch in patches]
    return next(
        (patch for patch in patches if patch.program == program), Patch(f"program_{program}", program)
    )


def reserved_patches() -> list[str]:
    """Names of the patches that only the test split has."""
    return sorted(patch.name for patches in CLASSES.values() for patch in patches if patch.test_only)
