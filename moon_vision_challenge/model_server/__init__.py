"""Replaces `tensorflow_model_server` on one machine: same flags, models.config and REST API, for ONNX models."""
