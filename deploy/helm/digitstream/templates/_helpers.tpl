{{- /* Labels by which everything finds the pods of this release. */ -}}
{{- define "digitstream.selector" -}}
app.kubernetes.io/name: digitstream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "digitstream.labels" -}}
{{ include "digitstream.selector" . }}
app.kubernetes.io/part-of: digitstream
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}
