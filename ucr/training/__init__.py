"""The trainer and what it learns from: latents, pseudo-labels, remixes."""
