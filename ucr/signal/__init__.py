"""Spectrograms, masks, matrix factorisation and overlap-add."""
