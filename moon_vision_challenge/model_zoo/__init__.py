"""Builds servable models from published weights, without the framework that trained them."""
