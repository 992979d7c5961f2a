import pytest

from moon_vision_challenge.classification.serving.address import ModelAddress

BASE = "http://tensorflow-serving:8501"
MODEL = f"{BASE}/v1/models/resnet"


@pytest.mark.parametrize("suffix", ["", ":predict", "/metadata"])
@pytest.mark.parametrize(
    ("url", "address"),
    [
        (MODEL, ModelAddress(BASE, "resnet")),
        (f"{MODEL}/versions/12", ModelAddress(BASE, "resnet", 12)),
        (f"{MODEL}/labels/stable", ModelAddress(BASE, "resnet", label="stable")),
        ("https://host/a/path/v1/models/resnet", ModelAddress("https://host/a/path", "resnet")),
    ],
)
def test_every_url_of_a_model_is_its_address(url: str, suffix: str, address: ModelAddress) -> None:
    assert ModelAddress.parse(url + suffix) == address


@pytest.mark.parametrize(
    "url", ["http://host/predict", f"{MODEL}/versions/new:predict", f"{MODEL}:classify", "", "/v1/models/resnet"]
)
def test_a_url_of_another_form_has_no_address(url: str) -> None:
    assert ModelAddress.parse(url) is None


def test_an_address_gives_all_its_urls() -> None:
    address = ModelAddress(BASE, "resnet")
    assert (address.predict, address.metadata, address.status) == (f"{MODEL}:predict", f"{MODEL}/metadata", MODEL)
    assert address.at(3).predict == f"{MODEL}/versions/3:predict"
    assert address.at(label="canary").status == f"{MODEL}/labels/canary"
    assert (address.is_newest, address.at(0).is_newest, address.at(label="x").is_newest) == (True, False, False)
