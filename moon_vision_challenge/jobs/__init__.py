"""Many images in one request. A job is a row, and its images are rows of the queue.

It stands on top of classification, which knows nothing of it.
"""
