"""The substitute for Helm's engine."""

from __future__ import annotations

import pytest

from tests.integration.deploy.template_engine import collect_definitions, render
from tests.integration.deploy.template_tree import TemplateError

DATA = {"Values": {"a": "x", "on": True, "off": False, "n": 3, "list": ["p", "q"], "map": {"k": "v", "b": "w"}}}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a {{ .Values.a }} b", "a x b"),
        ("a \n {{- .Values.a -}} \n b", "axb"),
        ("a {{/* nothing */}} b", "a  b"),
        ("{{ .Values.a | quote }}", '"x"'),
        ("{{ if .Values.off }}1{{ else if .Values.on }}2{{ else }}3{{ end }}", "2"),
        ("{{ if and .Values.off (first .Values.a.b) }}1{{ else }}2{{ end }}", "2"),
        ("{{ if or .Values.on (first .Values.a.b) }}1{{ end }}", "1"),
        ("{{ with .Values.map }}{{ .k }}{{ $.Values.a }}{{ end }}", "vx"),
        ("{{ with .Values.off }}1{{ else }}{{ .Values.a }}{{ end }}", "x"),
        ("{{ range .Values.list }}<{{ . }}>{{ end }}", "<p><q>"),
        ("{{ range $k, $v := .Values.map }}{{ $k }}={{ $v }};{{ end }}", "b=w;k=v;"),
        ("{{ $x := .Values.n }}{{ if gt (int $x) 2 }}{{ $x }}{{ end }}", "3"),
        ("{{ .Values.map | toYaml | nindent 2 }}", "\n  b: w\n  k: v"),
        ('{{ dict "a" "<" "b" .Values.list | toJson }}', '{"a":"\\u003c","b":["p","q"]}'),
        ('{{ .Values.a | default "y" }}{{ "" | default "y" }}', "xy"),
        ('{{ printf "%s.%s" .Values.a "b" | trunc 2 | trimSuffix "." }}', "x"),
    ],
)
def test_constructs(source: str, text: str) -> None:
    """Each construct that the chart uses renders as in Go's templates with Sprig's functions."""
    assert render(source, DATA, {}) == text


def test_include() -> None:
    """A definition can be included; `$` is the dot of the include."""
    definitions = collect_definitions(['{{ define "d" }}{{ .k }}{{ $.b }}{{ end }}'])
    assert render('{{ include "d" .Values.map | quote }}', DATA, definitions) == '"vw"'


@pytest.mark.parametrize(
    "source",
    [
        "{{ tpl .Values.a . }}",
        '{{ lookup "v1" "Secret" "" "" }}',
        "{{ .Values.missing }}",
        "{{ .Values.a.deeper }}",
        "{{ .Values.list }}",
        "{{ if .Values.on }}",
        "{{ end }}",
        "{{ .Values.a",
        "{{ (.Values.a }}",
        "{{ .Values.a `raw` }}",
        '{{ fail "no" }}',
        '{{ required "no" "" }}',
        "{{ $unknown }}",
    ],
)
def test_unknown_constructs_raise(source: str) -> None:
    """An unknown function, value or construct is an error, not an empty text."""
    with pytest.raises((TemplateError, KeyError)):
        render(source, DATA, {})
