"""The preparation of photos for evaluation, which is the same as for serving."""

CROP = 0.875
"""The fraction of the shorter side that is kept, around the center: 224 of 256 pixels."""
