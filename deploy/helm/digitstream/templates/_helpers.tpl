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

{{- define "digitstream.gateway.selector" -}}
app.kubernetes.io/name: digitstream-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "digitstream.gateway.labels" -}}
{{ include "digitstream.gateway.selector" . }}
app.kubernetes.io/part-of: digitstream
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Brokers, group and topics are those of the service; the gateway's own settings replace them. */ -}}
{{- define "digitstream.gateway.settings" -}}
{{- $shared := dict -}}
{{- range $name, $value := .Values.settings -}}
{{- if regexMatch "^DIGITS_(KAFKA|TOPICS|LOG)__" $name -}}
{{- $_ := set $shared $name $value -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $shared .Values.gateway.settings) -}}
{{- end }}
