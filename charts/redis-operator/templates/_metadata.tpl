{{- /* What objects have in their metadata. Names are fixed: there is one operator in a cluster. */ -}}

{{- define "redis-operator.labels" -}}
app.kubernetes.io/name: redis-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Labels and annotations of an object: dict "root", and its own "labels" and "annotations", which win. */ -}}
{{- define "redis-operator.metadata" -}}
labels:
  {{- $ours := include "redis-operator.labels" .root | fromYaml }}
  {{- merge (dict) $ours (default (dict) .labels) .root.Values.labels | toYaml | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* An object of files/: dict "object" "root", and "namespace" if it is not the release's. */ -}}
{{- define "redis-operator.object" -}}
{{- $object := deepCopy .object }}
{{- $own := $object.metadata }}
{{- $ours := include "redis-operator.metadata" (dict "root" .root "labels" $own.labels "annotations" $own.annotations) }}
{{- $metadata := merge (dict "name" $own.name) (fromYaml $ours) }}
{{- if or .namespace $own.namespace }}
{{- $_ := set $metadata "namespace" (default .root.Release.Namespace .namespace) }}
{{- end }}
{{- $_ := set $object "metadata" $metadata }}
{{- range $subject := $object.subjects }}
{{- $_ := set $subject "namespace" $.root.Release.Namespace }}
{{- end }}
{{- toYaml $object }}
{{- end }}

{{- /* Which namespaces the webhooks are asked about: the watched ones, or all but those that the operator needs to start. */ -}}
{{- define "redis-operator.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    {{- if .Values.watchNamespaces }}
    operator: In
    values: {{ toJson .Values.watchNamespaces }}
    {{- else }}
    operator: NotIn
    values: {{ list "kube-system" .Release.Namespace | toJson }}
    {{- end }}
{{- end }}

{{- /* What has the operator's pods as its selector. */ -}}
{{- define "redis-operator.selector" -}}
app.kubernetes.io/name: redis-operator
{{- end }}
