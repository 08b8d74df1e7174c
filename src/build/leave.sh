# Run by the kubelet inside the container before it ends Redis. While this server takes the writes and has replicas, the
# operator is given time to hand its role to one of them, which loses no write; anything else need not be waited for.
password=/usr/local/etc/redis-auth/password
note=${REDIS_DATA:-/data}/.redis-operator
ask() {
  # The password reaches redis-cli by its environment: an argument would show in the process list. With the name of the user,
  # a server without a password takes it too.
  if [ -r "$password" ]; then
    REDISCLI_AUTH=$(cat "$password") redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" --user default --no-auth-warning "$@" 2>&1
  else
    redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" "$@" 2>&1
  fi
}
# Before a server answers, the process may not handle SIGTERM yet: it would be lost, and the kubelet would kill the server at the end
# of the grace period.
wait_for_start() {
  tries=0
  while [ "$tries" -lt 50 ]; do
    case $(ask ping) in
      *"Could not connect"*) ;;
      *) return ;;
    esac
    tries=$((tries + 1))
    sleep 0.1
  done
}
wait_for_handover() {
  tries=0
  while [ "$tries" -lt 100 ]; do
    answer=$(ask info replication)
    case $answer in
      *role:master*connected_slaves:0*) return ;;
      *role:master*) ;;
      *) return ;;
    esac
    tries=$((tries + 1))
    sleep 0.2
  done
  echo "still the primary after 20 s: the operator did not hand the role over"
}
# Redis ignores SIGTERM while it writes its first append-only file, and would be killed without its data. Without that file
# it saves a snapshot, which start.sh loads.
save_without_first_aof() {
  [ ! -r "$note" ] || read -r recorded <"$note"
  [ "$recorded" != aof ] || return
  answer=$(ask info persistence)
  case $answer in
    *aof_enabled:1*) ;;
    *) return ;;
  esac
  case $answer in
    *aof_rewrite_in_progress:1* | *aof_rewrite_scheduled:1*) ask config set appendonly no && ask save ;;
  esac
}
recorded=
wait_for_start
wait_for_handover
save_without_first_aof
exit 0
