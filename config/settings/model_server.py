"""The model server and the registered models."""

from config.settings.environment import ROOT_DIR, env

TF_SERVING_URL = env.str("TF_SERVING_URL", default="http://tensorflow-serving:8501")
TF_SERVING_CONNECT_TIMEOUT_S = env.float("TF_SERVING_CONNECT_TIMEOUT_S", default=1.0)
TF_SERVING_TIMEOUT_S = env.float("TF_SERVING_TIMEOUT_S", default=10.0)
# The model server's configuration file. The API reads version labels from it, and `manage.py check` reads the list
# of models. Predictions do not need it. Leave it empty where the gateway has no copy.
MODELS_CONFIG = env.str("MODELS_CONFIG", default=str(ROOT_DIR / "models.config"))
CLASSIFICATION_DISPATCHER = env.str(
    "CLASSIFICATION_DISPATCHER", default="moon_vision_challenge.classification.dispatchers.Dispatcher"
)
