import pytest

from moon_vision_challenge.classification.serving.address import Api, ModelAddress

BASE = "http://tensorflow-serving:8501"
MODEL = f"{BASE}/v1/models/resnet"
V2 = f"{BASE}/v2/models/resnet"


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


@pytest.mark.parametrize("suffix", ["", "/infer", "/ready"])
@pytest.mark.parametrize(
    ("url", "address"),
    [
        (V2, ModelAddress(BASE, "resnet", api=Api.OPEN_INFERENCE)),
        (f"{V2}/versions/12", ModelAddress(BASE, "resnet", 12, api=Api.OPEN_INFERENCE)),
        (f"{V2}/versions/v1.2", ModelAddress(BASE, "resnet", label="v1.2", api=Api.OPEN_INFERENCE)),
        ("https://host/a/v2/models/a:b", ModelAddress("https://host/a", "a:b", api=Api.OPEN_INFERENCE)),
    ],
)
def test_every_url_of_the_open_inference_protocol_is_its_address(url: str, suffix: str, address: ModelAddress) -> None:
    assert ModelAddress.parse(url + suffix) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://host/predict",
        f"{MODEL}/versions/new:predict",
        f"{MODEL}:classify",
        "",
        "/v1/models/resnet",
        "/v2/models/resnet/infer",
        f"{V2}/generate",
        f"{V2}/versions/1/2/infer",
        f"{BASE}/v2/models//infer",
        f"{BASE}/v3/models/resnet/infer",
    ],
)
def test_a_url_of_another_form_has_no_address(url: str) -> None:
    assert ModelAddress.parse(url) is None


def test_an_address_gives_all_its_urls() -> None:
    address = ModelAddress(BASE, "resnet")
    assert (address.predict, address.metadata, address.status) == (f"{MODEL}:predict", f"{MODEL}/metadata", MODEL)
    assert address.at(3).predict == f"{MODEL}/versions/3:predict"
    assert address.at(label="canary").status == f"{MODEL}/labels/canary"
    assert (address.is_newest, address.at(0).is_newest, address.at(label="x").is_newest) == (True, False, False)


def test_an_address_of_the_open_inference_protocol_gives_all_its_urls() -> None:
    address = ModelAddress.on(f"{BASE}/v2", "resnet")
    assert (address.predict, address.metadata, address.status) == (f"{V2}/infer", V2, V2)
    assert address.at(3).predict == f"{V2}/versions/3/infer"
    assert address.at(label="canary").predict == f"{V2}/versions/canary/infer"


@pytest.mark.parametrize("server", [BASE, "http://host/path/v1", "http://v2"])
def test_a_server_speaks_tensorflow_servings_api_unless_its_url_ends_in_v2(server: str) -> None:
    assert ModelAddress.on(server, "resnet").predict == f"{server}/v1/models/resnet:predict"
    for end in ("/v2", "/v2/"):
        assert ModelAddress.on(server + end, "resnet").predict == f"{server}/v2/models/resnet/infer"
