#!/usr/bin/env bash
# Issues the certificate that the API server asks the operator's webhooks for:
# an own CA and a leaf signed by it, into the Secret that the Deployment mounts,
# and the CA into our two webhook configurations. The leaf's key is nowhere else
# and the CA's key is thrown away: the next leaf comes with the next CA.
#
#   generate.sh [--force]
#
# A certificate that is good for 30 days more is kept; --force issues a new one.
# KUBECTL names the kubectl to use (default: kubectl).
set -euo pipefail
umask 077
readonly namespace=redis-operator-system secret=redis-operator-webhook-cert service=redis-operator-webhook
readonly configurations=(mutatingwebhookconfiguration/redis-operator validatingwebhookconfiguration/redis-operator)
readonly days=365 keep_days=30
readonly kubectl=${KUBECTL:-kubectl}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# stored KEY: a certificate of the Secret; nothing if there is none
stored() {
  "$kubectl" -n "$namespace" get secret "$secret" --ignore-not-found -o "jsonpath={.data.${1/./\\.}}" | base64 -d
}

issue() {
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${key[@]}" -days "$days" -subj "/CN=$service CA" -keyout "$dir/ca.key" -out "$dir/ca.crt" \
    -addext basicConstraints=critical,CA:true,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req "${key[@]}" -subj "/CN=$service.$namespace.svc" -keyout "$dir/tls.key" -out "$dir/leaf.csr"
  cat >"$dir/extensions" <<EXT
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$service, DNS:$service.$namespace, DNS:$service.$namespace.svc, DNS:$service.$namespace.svc.cluster.local
EXT
  openssl x509 -req -in "$dir/leaf.csr" -days "$days" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" \
    -extfile "$dir/extensions" -out "$dir/tls.crt"
  rm "$dir/ca.key"
}

# trust FILE: what the API server accepts from now on
trust() {
  local bundle configuration
  bundle=$(base64 -w0 <"$1")
  for configuration in "${configurations[@]}"; do
    "$kubectl" patch "$configuration" --type=json \
      -p "[{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$bundle\"}]"
  done
}

stored ca.crt >"$dir/old-ca.crt"
stored tls.crt >"$dir/old.crt"
if [ "${1:-}" != --force ] && [ -s "$dir/old-ca.crt" ] &&
  openssl verify -CAfile "$dir/old-ca.crt" "$dir/old.crt" >/dev/null 2>&1 &&
  openssl x509 -in "$dir/old.crt" -noout -checkend $((keep_days * 86400)) >/dev/null; then
  echo "secret/$secret: $(openssl x509 -in "$dir/old.crt" -noout -enddate), kept"
  trust "$dir/old-ca.crt"
  exit
fi

issue 2>/dev/null
# Both CAs are trusted until the operator has read the new leaf, so that no admission fails in between.
cat "$dir/ca.crt" "$dir/old-ca.crt" >"$dir/bundle.crt"
trust "$dir/bundle.crt"
"$kubectl" -n "$namespace" create secret generic "$secret" --type=kubernetes.io/tls --dry-run=client -o yaml \
  --from-file=tls.crt="$dir/tls.crt" --from-file=tls.key="$dir/tls.key" --from-file=ca.crt="$dir/ca.crt" |
  "$kubectl" apply --server-side --force-conflicts --field-manager=webhook-certs -f -
