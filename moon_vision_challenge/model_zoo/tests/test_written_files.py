"""What is written into the user's own files: a class, and a model in models.config."""

import ast

import pytest

from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_zoo.class_file import class_name, with_class
from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.models_config import with_model


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "model_config_list {}",
        "model_config_list: < config: < name: 'a', base_path: '/a' > >",
        "model_config_list { config { name: 'a' base_path: '/{' } } # }",
        "model_config_list {\n\tconfig {\n name: \"a\"\n base_path: '/a' model_version_policy { all {} } }\n\t}\n",
        "# model_config_list {\nmodel_config_list {\n}\n",
    ],
)
def test_models_config_gets_one_more_model_in_every_form_of_the_file(text: str) -> None:
    changed = with_model(text, "net", "/models/net/")
    models = parse_models_config(changed)
    assert (models[-1].name, models[-1].base_path) == ("net", "/models/net/")
    assert len(models) == text.count("name:") + 1
    assert with_model(changed, "net", "/elsewhere") == changed
    kept = iter(changed)
    assert all(character in kept for character in text)  # in order


@pytest.mark.parametrize(
    ("model_type", "name"),
    [("flowers", "FlowersClassificator"), ("my-flowers.v2", "MyFlowersV2Classificator"), ("7", "Model7Classificator")],
)
def test_a_class_is_named_after_its_model(model_type: str, name: str) -> None:
    assert class_name(model_type) == name


CLASS = "@classificators.register\nclass AClassificator(ServedModelClassificator):\n    labels = read_labels(Path(x))\n"


@pytest.mark.parametrize(
    "source",
    [
        "",
        '"""Mine."""\n',
        "import os\n\nX = 1",
        "from pathlib import Path\nfrom a import (\n    b,\n    c,\n)\n\n\nclass Other:\n    pass\n",
        "X = 1\n",
    ],
)
def test_a_class_is_appended_with_the_imports_it_needs(source: str) -> None:
    changed = with_class(source, CLASS)
    assert changed.endswith(f"\n\n\n{CLASS}")
    imported = [line for line in changed.splitlines() if "import" in line]
    for name in ("Path", "classificators", "read_labels", "ServedModelClassificator"):
        assert sum(f" {name}" in line for line in imported) == 1
    kept = iter(changed.splitlines())
    assert all(line in kept for line in source.splitlines())
    body = ast.parse(changed).body
    assert isinstance(body[-1], ast.ClassDef)


def test_an_existing_class_is_not_written_again() -> None:
    with pytest.raises(AddError, match="already has a class AClassificator"):
        with_class(with_class("", CLASS), CLASS)
