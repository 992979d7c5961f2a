"""Many images in one request. A job is a row, and its images are rows of the queue.

This app builds on classification, which does not know it.
"""
