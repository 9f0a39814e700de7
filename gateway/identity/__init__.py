"""Authentication of callers; the rest of the gateway sees the authenticated caller only."""

from gateway.identity.authenticator import Authenticator, Credentials, create_authenticator

__all__ = ["Authenticator", "Credentials", "create_authenticator"]
