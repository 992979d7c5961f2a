"""`uvicorn fastapi_server:application --workers 2`: the model in process, and nothing else."""

from fastapi import FastAPI, UploadFile
from same_work import Classifier

application = FastAPI()
classifier = Classifier()


@application.post("/predict")
def predict(image: UploadFile) -> dict[str, str]:
    return {"label": classifier.classify(image.file.read())}


@application.get("/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}
