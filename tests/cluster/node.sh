# shellcheck shell=bash
# Starts the components of the local cluster. Runs inside its namespaces, once,
# and knows nothing of the machine outside but the cache ($cache, read only).
#   node.sh [--control-plane]
set -euo pipefail
: "${cache:?}" "${state:?}" "${marker:?}"
node_ip=10.250.0.2
bin=$cache/bin/cluster-node

start() { # start NAME CMD...
  local name=$1; shift
  setsid "$@" >"$state/log/$name.log" 2>&1 </dev/null &
}

wait_for() { # wait_for SECONDS WHAT LOG CMD...
  local deadline=$((SECONDS + $1)) what=$2 log=$3; shift 3
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      tail -n 20 "$state/log/$log.log" >&2
      echo "cluster: no $what in time" >&2
      exit 1
    fi
    sleep 0.1
  done
}

# What the components would write on the machine goes to memory, seen only in this mount namespace.
file_systems() {
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/lib # the kubelet's device-plugins folder has a fixed place,
  mount -t tmpfs tmpfs /var/log # and so have its links to the containers' logs
  mkdir -p "$state"/{pki,log,cni,volumes,sysctl,tmp} /run/netns
  # The kubelet insists on these settings, which have no namespace: it shall see them and not set them.
  local setting
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${setting#*=}" >"$state/sysctl/$(basename "${setting%=*}")"
    mount --bind "$state/sysctl/$(basename "${setting%=*}")" "/proc/sys/${setting%=*}"
  done
  : >"$state/resolv.conf" # pods ask CoreDNS, and CoreDNS asks nobody
}

network() {
  ip link set lo up
  ip link add node0 type bridge
  ip addr add $node_ip/24 dev node0
  ip link set node0 up
  ip route add 10.96.0.0/16 dev node0 # Service addresses never leave the namespace
  sysctl -qw net.ipv4.ip_forward=1
}

# One CA; the API server's certificate; the key that signs ServiceAccount tokens; a token for the
# user and one for the components, so that the audit log can tell them apart.
credentials() {
  local dir=$state/pki user token
  local p256=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${p256[@]}" -days 30 -subj "/CN=local cluster" -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
  openssl req "${p256[@]}" -subj /CN=kube-apiserver -keyout "$dir/apiserver.key" 2>/dev/null |
    openssl x509 -req -days 30 -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -out "$dir/apiserver.crt" 2>/dev/null \
      -extfile <(echo "subjectAltName=IP:127.0.0.1,IP:$node_ip,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc")
  openssl ecparam -name prime256v1 -genkey -noout -out "$dir/sa.key"
  openssl ec -in "$dir/sa.key" -pubout -out "$dir/sa.pub" 2>/dev/null
  for user in admin component; do
    token=$(openssl rand -hex 16)
    echo "$token,$user,$user,\"system:masters\"" >>"$dir/tokens.csv"
    kubeconfig $user "$token" >"$state/$user.kubeconfig"
  done
  cp "$state/admin.kubeconfig" "$state/kubeconfig"
}

kubeconfig() { # kubeconfig USER TOKEN
  cat <<X
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $1, user: {token: $2}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
current-context: local
X
}

# Who wrote what, and how long each write took, without what the components read.
audit_policy() {
  cat <<X
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: None, users: [component]}
- {level: None, userGroups: ["system:serviceaccounts:kube-system"], verbs: [get, list, watch]}
- {level: None, nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/openapi*", "/api", "/api/*", "/apis", "/apis/*", "/version"]}
- {level: Metadata}
X
}

control_plane() {
  local kc=$state/component.kubeconfig
  local reach=(--kubeconfig="$kc" --authentication-kubeconfig="$kc" --authorization-kubeconfig="$kc" --leader-elect=false)
  audit_policy >"$state/audit.yaml"
  start etcd "$bin" etcd --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn
  # shellcheck disable=SC2086
  start kube-apiserver "$bin" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 \
    --advertise-address=$node_ip --tls-cert-file="$state/pki/apiserver.crt" --tls-private-key-file="$state/pki/apiserver.key" \
    --token-auth-file="$state/pki/tokens.csv" --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$state/pki/sa.pub" --service-account-signing-key-file="$state/pki/sa.key" \
    --authorization-mode=Node,RBAC --service-cluster-ip-range=10.96.0.0/16 --allow-privileged \
    --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file="$state/audit.yaml" --audit-log-path="$state/log/audit.jsonl" ${APISERVER_FLAGS:-}
  wait_for 60 kube-apiserver kube-apiserver timeout 3 kubectl get --raw /readyz
  # shellcheck disable=SC2086
  start kube-controller-manager "$bin" kube-controller-manager "${reach[@]}" --use-service-account-credentials \
    --service-account-private-key-file="$state/pki/sa.key" --root-ca-file="$state/pki/ca.crt" \
    --cluster-cidr=10.244.0.0/16 ${KCM_FLAGS:-}
  start volumes "$bin" volumes --kubeconfig="$kc" --root="$state/volumes" --node=node1
  kubectl apply -f - >/dev/null <<X
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: cluster.local/folder
allowVolumeExpansion: true
X
  [ "$1" = --control-plane ] || start kube-scheduler "$bin" kube-scheduler "${reach[@]}"
}

container_runtime() {
  cat >"$state/cni/10-bridge.conflist" <<X
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$state/ipam","ranges":[[{"subnet":"10.244.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
X
  # restrict_oom_score_adj: a machine whose root lacks CAP_SYS_RESOURCE cannot lower a pod's score
  cat >"$state/containerd.toml" <<X
version = 2
root = "$state/containerd"
state = "/run/containerd"
[grpc]
  address = "$state/containerd.sock"
[plugins.'io.containerd.grpc.v1.cri']
  restrict_oom_score_adj = true
  sandbox_image = 'localhost/pause:1'
[plugins.'io.containerd.grpc.v1.cri'.cni]
  bin_dir = '/usr/lib/cni'
  conf_dir = '$state/cni'
[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
X
  local ctr=(ctr -a "$state/containerd.sock" -n k8s.io) image
  start containerd env TMPDIR="$state/tmp" /usr/bin/containerd -c "$state/containerd.toml"
  wait_for 20 containerd containerd "${ctr[@]}" version
  for image in pause redis; do "${ctr[@]}" images import "$cache/images/$image.tar" >/dev/null; done
}

# All pods are below cgroups named after the cluster, so that they can be found when it is gone.
cgroups() {
  local controllers controller
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2: one tree
    read -ra controllers </sys/fs/cgroup/cgroup.controllers
    for controller in "${controllers[@]}"; do
      echo "+$controller" 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control || true
    done
    mkdir -p "/sys/fs/cgroup/$marker"
  else
    for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller$marker"; done
  fi
}

node() {
  local kc=$state/component.kubeconfig
  cgroups
  cat >"$state/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$marker
enforceNodeAllocatable: []
protectKernelDefaults: true
failSwapOn: false
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://$state/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
healthzPort: 0
evictionHard: {}
imageGCHighThresholdPercent: 100
maxPods: 500
clusterDNS: [$node_ip]
clusterDomain: cluster.local
resolvConf: $state/resolv.conf
podLogsDir: $state/podlogs
syncFrequency: 10s
X
  start kubelet "$bin" kubelet --config="$state/kubelet.yaml" --kubeconfig="$kc" --root-dir="$state/kubelet" \
    --hostname-override=node1 --node-ip=$node_ip --cert-dir="$state/pki/kubelet"
  cat >"$state/proxy.yaml" <<X
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16
clientConnection: {kubeconfig: $kc}
conntrack: {maxPerCore: 0}
nodePortAddresses: ["primary"]
X
  start kube-proxy "$bin" kube-proxy --config="$state/proxy.yaml" --hostname-override=node1
  cat >"$state/Corefile" <<X
.:53 {
  bind $node_ip
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $kc local
    ttl 2
  }
  cache 2
}
X
  start coredns "$cache/bin/coredns" -conf "$state/Corefile"
  wait_for 60 "ready node" kubelet timeout 3 kubectl wait --for=condition=Ready node/node1 --timeout=2s
}

file_systems
network
credentials
if [ "${1:-}" = --control-plane ]; then
  control_plane --control-plane
else
  container_runtime & # while the API server starts
  runtime=$!
  control_plane ""
  wait $runtime
  node
fi
# the first pod, of whoever, needs it
wait_for 60 "default ServiceAccount" kube-controller-manager timeout 3 kubectl get serviceaccount default
touch "$state/ready"
