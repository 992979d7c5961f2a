"""What an operator can see of the service from outside: metrics, and the id of each request in the logs.

Knows nothing of Inference or of classificators. They report to it.
"""
