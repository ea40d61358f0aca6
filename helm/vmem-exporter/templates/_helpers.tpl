{{- define "vmem-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vmem-exporter.fullname" -}}
{{- $name := include "vmem-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vmem-exporter.selector" -}}
app.kubernetes.io/name: {{ include "vmem-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vmem-exporter.labels" -}}
{{ include "vmem-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "vmem-exporter.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- /* The name of an object made from a file: rules/host.yaml becomes NAME-host. */}}
{{- define "vmem-exporter.of-file" -}}
{{- $stem := trimSuffix (ext .path) (base .path) }}
{{- printf "%s-%s" (include "vmem-exporter.fullname" .root | trunc 40 | trimSuffix "-") $stem }}
{{- end }}

{{- define "vmem-exporter.test-labels" -}}
app.kubernetes.io/name: {{ include "vmem-exporter.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
