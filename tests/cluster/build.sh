# shellcheck shell=bash
# What a local cluster is made of, made once and kept in the cache: Debian
# packages, Kubernetes and CoreDNS compiled from their Go modules, and the
# container images. Each thing is keyed by the content of what goes into it.
# Sourced by `cluster`; it must not know how any of it is run.
: "${cache:?}" "${here:?}"

readonly kubernetes=v1.36.3 coredns=v1.14.7
readonly packages=(containerd runc containernetworking-plugins nftables iptables conntrack iproute2
  buildah redis-tools busybox-static openssl procps)

build() {
  [ "$(id -u)" = 0 ] || { echo "cluster: namespaces, mounts and packages need root" >&2; return 1; }
  mkdir -p "$cache/bin" "$cache/images"
  exec 8>"$cache/build.lock" # two builds at once would write the same files
  flock 8
  install_packages
  once cluster-node "$(digest go.mod go.sum cmd/cluster-node volumes; echo "$kubernetes")" compile_kubernetes
  once coredns "$coredns" compile_coredns
  once pause "$(digest cmd/pause images/pause.Dockerfile; recipe make_pause)" make_pause
  once redis "$(dpkg-query -W redis-tools busybox-static libc6; digest images/redis.Dockerfile; recipe make_redis)" make_redis
  exec 8>&-
}

# once NAME KEY CMD...: runs CMD unless it succeeded with the same KEY before
once() {
  local stamp=$cache/$1.stamp key=$2; shift 2
  [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return
  rm -f "$stamp"
  "$@"
  echo "$key" >"$stamp"
}

# digest FILE-OR-FOLDER...: of names and contents, in one order everywhere
digest() { (cd "$here" && find "$@" -type f | LC_ALL=C sort | xargs sha256sum | sha256sum); }

# recipe FUNCTION: the text of how an image is made
recipe() { declare -f "$1" with_libraries archive | sha256sum; }

# progress WHAT CMD...: runs CMD silently with a line of elapsed time now and then; its output is for a failure
progress() {
  local what=$1 log began=$SECONDS ticker; shift
  log=$(mktemp "$cache/progress.XXXXXX")
  echo "$what ..."
  # Ctrl-C does not reach a background job: it ends itself when this shell is gone
  (while sleep 1; do
    kill -0 $$ 2>/dev/null || exit
    (((SECONDS - began) % 30 == 0)) && echo "$what ... $((SECONDS - began)) s"
  done) & ticker=$!
  if ! "$@" >"$log" 2>&1 </dev/null; then
    kill $ticker
    tail -n 30 "$log" >&2; rm -f "$log"
    echo "cluster: failed: $what" >&2
    return 1
  fi
  kill $ticker; wait $ticker 2>/dev/null || true
  rm -f "$log"
  echo "$what: done in $((SECONDS - began)) s"
}

install_packages() {
  local missing=() p
  for p in "${packages[@]}"; do
    [ "$(dpkg-query -f '${db:Status-Status}' -W "$p" 2>/dev/null)" = installed ] || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return
  progress "installing ${missing[*]}" install_missing "${missing[@]}"
}

install_missing() {
  local policy=/usr/sbin/policy-rc.d
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  if [ ! -e $policy ]; then # the machine's init must not start a containerd of its own
    printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
    # shellcheck disable=SC2064
    trap "rm -f $policy" EXIT
  fi
  apt-get install -y -q --no-install-recommends "$@"
}

# Every Kubernetes process in one binary: they share most of their code, which halves the time.
compile_kubernetes() {
  local v=k8s.io/component-base/version
  progress "downloading the Go modules of Kubernetes $kubernetes" go -C "$here" mod download
  progress "compiling Kubernetes $kubernetes (6 to 9 minutes on 2 cores, once)" \
    go build -C "$here" -trimpath -o "$cache/bin/cluster-node" \
    -ldflags="-s -w -X $v.gitVersion=$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=36 -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes" \
    ./cmd/cluster-node
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nexec "${0%%/*}/cluster-node" kubectl "$@"\n' >"$cache/bin/kubectl"
  chmod +x "$cache/bin/kubectl"
}

compile_coredns() {
  GOBIN="$cache/bin" GOFLAGS=-trimpath progress "compiling CoreDNS $coredns (2 to 3 minutes, once)" \
    go install -ldflags='-s -w' "github.com/coredns/coredns@$coredns"
}

make_pause() {
  CGO_ENABLED=0 go build -C "$here" -trimpath -ldflags='-s -w' -o "$cache/bin/pause" ./cmd/pause
  archive localhost/pause:1 pause "$here/images/pause.Dockerfile" "$cache/bin"
}

# Copies a program to FOLDER/PATH, and the shared libraries it needs to where they are looked for.
with_libraries() { # with_libraries PROGRAM FOLDER PATH
  local lib
  install -D "$1" "$2/$3"
  for lib in $(ldd "$1" | grep -oE '/[^ ]+'); do install -D "$lib" "$2$lib"; done
}

make_redis() {
  local r; r=$(mktemp -d)
  chmod 755 "$r"
  redis-cli --version | grep -qF 'redis-cli 7.0.15' || { echo "cluster: this machine's redis is not 7.0.15, Debian 12's" >&2; return 1; }
  # In Debian one binary is the server and its two checkers; the name it is called by decides.
  with_libraries /usr/bin/redis-check-rdb "$r" usr/local/bin/redis-server
  with_libraries /usr/bin/redis-cli "$r" usr/local/bin/redis-cli
  install -D /bin/busybox "$r/bin/busybox"
  local applet; for applet in sh ls cat sleep grep echo mkdir; do ln -s busybox "$r/bin/$applet"; done
  install -d -m 1777 "$r/tmp"; install -d -o 999 -g 999 "$r/data"; mkdir "$r/etc"
  printf 'root:x:0:0::/:/bin/sh\nredis:x:999:999::/data:/bin/sh\n' >"$r/etc/passwd"
  archive docker.io/library/redis:7.0.15 redis "$here/images/redis.Dockerfile" "$r"
  rm -rf "$r"
}

# archive IMAGE NAME DOCKERFILE CONTEXT [BUILDAH-FLAG...]: builds and keeps IMAGE as $cache/images/NAME.tar.
# No engine, no registry, and nothing left behind: buildah's storage is in memory and ends with its mount namespace.
archive() {
  local image=$1 tar=$cache/images/$2.tar dockerfile=$3 context=$4; shift 4
  # shellcheck disable=SC2016
  unshare --mount sh -euc '
    image=$1 tar=$2; shift 2
    for dir in /run /var/lib /var/tmp; do mount -t tmpfs tmpfs $dir; done
    buildah --storage-driver vfs bud --quiet --isolation chroot --cni-config-dir /run/cni --timestamp 0 --tag "$image" "$@" >/dev/null
    buildah --storage-driver vfs push --quiet "$image" "docker-archive:$tar.new:$image"
    ' archive "$image" "$tar" "$@" -f "$dockerfile" "$context"
  mv "$tar.new" "$tar"
}
