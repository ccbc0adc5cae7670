{{/* The name of every object: the release's, with the chart's where it is not in it. */}}
{{- define "greengrocer.name" -}}
{{- if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels by which Services and policies choose the pods. */}}
{{- define "greengrocer.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "greengrocer.labels" -}}
{{ include "greengrocer.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Not empty where a bundle is at an address, and so needs a volume to be fetched into. */}}
{{- define "greengrocer.fetches" -}}
{{- if contains "://" (join "," .Values.bundles) }}yes{{ end }}
{{- end }}
