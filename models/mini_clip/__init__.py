"""Mini CLIP: a small open_clip model of drawn things, for a demo and tests that run offline."""
