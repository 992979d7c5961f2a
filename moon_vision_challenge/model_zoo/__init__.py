"""Builds servable models from published weights, without the framework they were trained in."""
