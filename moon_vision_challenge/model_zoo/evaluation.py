"""How photos are prepared for evaluation, which is how the models are served."""

CROP = 0.875
"""The part of the shorter side that is kept, around the centre: 224 of 256 pixels."""
