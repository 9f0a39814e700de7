"""What the OpenAPI document says about a view, declared beside the view by a decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from marshmallow import Schema

_View = TypeVar("_View", bound=Callable[..., Any])
#: A description, and the schemas of the body: none, one, or alternatives.
ResponseSpec = tuple[str, Sequence[type[Schema]]]
_ATTRIBUTE: Final = "endpoint_spec"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """The part of an endpoint's description that the routing table does not contain."""

    summary: str
    responses: Mapping[int, ResponseSpec]
    query: type[Schema] | None = None
    body: Schema | None = None
    media_types: Sequence[str] = ()  # of the body
    headers: Sequence[Mapping[str, Any]] = ()  # OpenAPI parameters


def describe(
    *,
    summary: str,
    responses: Mapping[int, ResponseSpec],
    query: type[Schema] | None = None,
    body: Schema | None = None,
    media_types: Sequence[str] = (),
    headers: Sequence[Mapping[str, Any]] = (),
) -> Callable[[_View], _View]:
    """Return a decorator that stores an EndpointSpec on a view; wrappers made with functools.wraps keep it."""
    spec = EndpointSpec(
        summary=summary, responses=responses, query=query, body=body, media_types=media_types, headers=headers
    )

    def attach(view: _View) -> _View:
        setattr(view, _ATTRIBUTE, spec)
        return view

    return attach


def endpoint_spec(view: Callable[..., Any]) -> EndpointSpec | None:
    """Return the spec of a view; None if the view is not described."""
    spec: EndpointSpec | None = getattr(view, _ATTRIBUTE, None)
    return spec
