"""Who is calling: proofs of identity, checked; the rest of the gateway sees callers only."""

from gateway.identity.authenticator import Authenticator, Credentials, create_authenticator

__all__ = ["Authenticator", "Credentials", "create_authenticator"]
