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
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "moon_vision_challenge.classification.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "multipart",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Moon Vision Challenge",
    "DESCRIPTION": "Image classification: immediately (v0) or through a queue (v1).",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]",
    "COMPONENT_SPLIT_REQUEST": True,
    "AUTHENTICATION_WHITELIST": [],  # the same for all operations:
    "APPEND_COMPONENTS": {"securitySchemes": {"apiToken": {"type": "http", "scheme": "bearer"}}},
    "SECURITY": [{"apiToken": []}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "moon_vision_challenge.web.openapi.add_refusals_and_limits",
    ],
}
