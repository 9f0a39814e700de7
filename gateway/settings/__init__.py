"""The configuration: one TOML file, loaded by schemas that refuse unknown settings and report all errors at once."""

from gateway.settings.callers import AuthConfig, CallerConfig, JwtConfig, is_loopback
from gateway.settings.fields import ConfigurationError, SettingsSchema
from gateway.settings.schemas import BackendConfig, CorsConfig, RateLimitConfig, Settings, load_toml, parse_settings
from gateway.settings.secret import FileSecret, Secret

__all__ = [
    "AuthConfig",
    "BackendConfig",
    "CallerConfig",
    "ConfigurationError",
    "CorsConfig",
    "FileSecret",
    "JwtConfig",
    "RateLimitConfig",
    "Secret",
    "Settings",
    "SettingsSchema",
    "is_loopback",
    "load_toml",
    "parse_settings",
]
