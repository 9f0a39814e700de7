{{/* Names and labels. The release name is sufficient, because a release contains one gateway. */}}
{{- define "module-gateway.name" -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "module-gateway.selector" -}}
app.kubernetes.io/name: module-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "module-gateway.labels" -}}
{{ include "module-gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "module-gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}
