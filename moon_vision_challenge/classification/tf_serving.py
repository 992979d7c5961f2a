"""Lets classificators call their models: `tf_serving.predict(self.model_url, payload)`."""

from moon_vision_challenge.classification.serving.client import predict

__all__ = ["predict"]
