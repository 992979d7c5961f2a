"""Jobs: many images in one request. A job is a row, and its images are rows of the queue.

This app depends on classification, which does not depend on it.
"""
