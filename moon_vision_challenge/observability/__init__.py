"""What operators can see of the service from outside: metrics, and the id of each request in the logs.

This package knows neither Inference nor classificators. They report to it.
"""
