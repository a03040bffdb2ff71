"""The version of the app, as manifests and the OpenAPI document tell it; pyproject.toml has the same."""

APP_VERSION = "0.1.0"
