{{/* A TOML key, quoted if necessary: the name of a token's claim can be any string. */}}
{{- define "module-gateway.toml-key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ . | toJson }}{{ end }}
{{- end }}

{{/* Renders a table as TOML from `path` and `table`: first its settings, then its tables and arrays of tables. Strings,
numbers and lists have the same form in JSON and TOML. A setting after a subtable would belong to that subtable. */}}
{{- define "module-gateway.toml" -}}
{{- $path := .path }}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "map" $value) (and (kindIs "slice" $value) $value (kindIs "map" (first $value)))) }}
{{ include "module-gateway.toml-key" $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
[{{ $path }}{{ include "module-gateway.toml-key" $key }}]
{{- include "module-gateway.toml" (dict "path" (printf "%s%s." $path (include "module-gateway.toml-key" $key)) "table" $value) }}
{{- else if and (kindIs "slice" $value) $value (kindIs "map" (first $value)) }}
{{- range $value }}
[[{{ $path }}{{ include "module-gateway.toml-key" $key }}]]
{{- include "module-gateway.toml" (dict "path" (printf "%s%s." $path (include "module-gateway.toml-key" $key)) "table" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Returns "yes" if the journal is a SQLite file on the pod's volume. */}}
{{- define "module-gateway.embedded" -}}
{{- if hasPrefix "sqlite:" .Values.config.journal.url }}yes{{ end }}
{{- end }}

{{/* Renders nothing if the values are consistent; otherwise fails. */}}
{{- define "module-gateway.checked" -}}
{{- if include "module-gateway.embedded" . }}
{{- if .Values.autoscaling.enabled }}
{{- fail "config.journal.url is SQLite, which only one pod can use: set autoscaling.enabled=false and replicas=1, or use PostgreSQL" }}
{{- end }}
{{- if gt (int .Values.replicas) 1 }}
{{- fail "config.journal.url is SQLite, which only one pod can use: set replicas=1, or use PostgreSQL" }}
{{- end }}
{{- if not (hasPrefix "sqlite:////var/lib/module-gateway/" .Values.config.journal.url) }}
{{- fail "a SQLite journal must be on the persistent volume: sqlite:////var/lib/module-gateway/journal.db" }}
{{- end }}
{{- end }}
{{- if le (int .Values.shutdown.gracePeriodSeconds) (add (int .Values.shutdown.preStopSeconds) 40) }}
{{- fail "shutdown.gracePeriodSeconds must be longer than the sum of shutdown.preStopSeconds and gunicorn's 40 s" }}
{{- end }}
{{- end }}
