"""Django REST framework and the OpenAPI schema."""

from moon_vision_challenge import __version__

# https://www.django-rest-framework.org/api-guide/settings/
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["moon_vision_challenge.accounts.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],  # AccessMiddleware has checked the rule of the view
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PARSER_CLASSES": [
        "moon_vision_challenge.web.parsers.FormDataParser",
        "moon_vision_challenge.web.parsers.ORJSONParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "moon_vision_challenge.web.negotiation.ContentNegotiation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "moon_vision_challenge.web.openapi.security.SchemaOfView",
    "EXCEPTION_HANDLER": "moon_vision_challenge.classification.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "multipart",
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "Moon Vision Challenge",
    "DESCRIPTION": "Image classification: immediately (v0) or through a queue (v1).\n\n"
    "Errors are an `Error`, or `FieldErrors`. Besides the statuses of an operation, any request can get 405 (`Allow` "
    "lists the methods of the address), 411, 413, 431, 500, 501, or 505, with an `Error`.",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": "moon_vision_challenge.classification.models.Inference.STATUS",
        "JobStatusEnum": "moon_vision_challenge.jobs.models.Job.STATUS",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "moon_vision_challenge.web.openapi.describing.add_descriptions",
        "moon_vision_challenge.web.openapi.shared.add_what_operations_share",
        "moon_vision_challenge.classification.api.media_operation.add_media",
        "moon_vision_challenge.health.operations.add_health",
        "moon_vision_challenge.playground.operations.add_index",
    ],
}
