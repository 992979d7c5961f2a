"""Query parameters of v0 and v1."""

from typing import Any, NamedTuple

from rest_framework import serializers
from rest_framework.request import Request

from moon_vision_challenge.classification.prediction import NEWEST, VersionChoice

_MAX_INT64 = 2**63 - 1


class Query(NamedTuple):
    version: VersionChoice = NEWEST
    top_k: int = 0


class VersionQuerySerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=_MAX_INT64,
        help_text="Use this version of the model instead of the newest.",
    )
    version_label = serializers.RegexField(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\Z",
        required=False,
        trim_whitespace=False,
        max_length=100,
        help_text="Use the version that has this label on the model server.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs.keys() & {"version", "version_label"}) == 2:
            raise serializers.ValidationError({"version_label": ["Give either version or version_label, not both."]})
        return attrs


class ClassificationQuerySerializer(VersionQuerySerializer):
    top_k = serializers.IntegerField(
        required=False, min_value=1, max_value=100, help_text="Return the k most probable classes."
    )


_NOTHING_ASKED = Query()


def read_query(request: Request, serializer_class: type[VersionQuerySerializer]) -> Query:
    """Return the validated query parameters. Unknown ones are ignored. Raises ValidationError."""
    if not request.query_params:  # the usual case needs no serializer
        return _NOTHING_ASKED
    serializer = serializer_class(data=request.query_params.dict())
    serializer.is_valid(raise_exception=True)
    asked = serializer.validated_data
    return Query(VersionChoice(asked.get("version"), asked.get("version_label", "")), asked.get("top_k", 0))
