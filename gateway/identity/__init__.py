"""Authentication of callers; the rest of the gateway sees the authenticated caller only."""

from gateway.identity.authenticator import Authenticator, Credentials, create_authenticator
from gateway.identity.xfcc import TrustedProxies

__all__ = ["Authenticator", "Credentials", "TrustedProxies", "create_authenticator"]
