{{/* A name as TOML writes it; a claim of a token may be called anything. */}}
{{- define "module-gateway.toml-key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ . | toJson }}{{ end }}
{{- end }}

{{/* A table as TOML: its settings, then its tables, then its lists of tables. Takes path and table. JSON's texts, numbers
and lists are TOML as they are; settings come before tables, for in TOML they would belong to the table above them. */}}
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

{{/* "yes" where the journal is a file on the pod's own disk. */}}
{{- define "module-gateway.embedded" -}}
{{- if hasPrefix "sqlite:" .Values.config.journal.url }}yes{{ end }}
{{- end }}

{{/* Nothing where the values fit together. */}}
{{- define "module-gateway.checked" -}}
{{- if include "module-gateway.embedded" . }}
{{- if .Values.autoscaling.enabled }}
{{- fail "config.journal.url is SQLite, which one pod has for itself: set autoscaling.enabled=false and replicas=1, or use PostgreSQL" }}
{{- end }}
{{- if gt (int .Values.replicas) 1 }}
{{- fail "config.journal.url is SQLite, which one pod has for itself: set replicas=1, or use PostgreSQL" }}
{{- end }}
{{- if not (hasPrefix "sqlite:////var/lib/module-gateway/" .Values.config.journal.url) }}
{{- fail "a SQLite journal must lie on the disk that is kept: sqlite:////var/lib/module-gateway/journal.db" }}
{{- end }}
{{- end }}
{{- if le (int .Values.shutdown.gracePeriodSeconds) (add (int .Values.shutdown.preStopSeconds) 40) }}
{{- fail "shutdown.gracePeriodSeconds must be longer than shutdown.preStopSeconds and gunicorn's 40 s together" }}
{{- end }}
{{- end }}
