"""`python litserve_server.py PORT`: LitServe with two workers of the model, and its defaults otherwise."""

import sys

import litserve
from same_work import Classifier


class ClassifierAPI(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002 - LitServe's signature
        self.classifier = Classifier()

    def decode_request(self, request):
        return request["image"].file.read()

    def predict(self, data):
        return self.classifier.classify(data)

    def encode_response(self, label):
        return {"label": label}


if __name__ == "__main__":
    server = litserve.LitServer(ClassifierAPI(), accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
