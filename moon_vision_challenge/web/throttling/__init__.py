"""Limits what a client may use: requests per time, requests at a time, and images and bytes per day.

Redis counts for all processes. A request takes from all of its buckets with one call.
"""
