"""Replaces `tensorflow_model_server` on one machine, with its flags, models.config, and REST API, for ONNX models."""
