# Run by the kubelet inside the container before it ends Redis. While this server takes the writes and has replicas, the
# operator is given time to hand its role to one of them, which loses no write; anything else need not be waited for.
password=/usr/local/etc/redis-auth/password
note=${REDIS_DATA:-/data}/.redis-operator
process=${REDIS_PROCESS:-1}
ask() {
  # The password reaches redis-cli by its environment: an argument would show in the process list. With the name of the user,
  # a server without a password takes it too.
  if [ -r "$password" ]; then
    REDISCLI_AUTH=$(cat "$password") redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" --user default --no-auth-warning "$@" 2>&1
  else
    redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" "$@" 2>&1
  fi
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
# Redis refuses to save beside another save, which it ends first.
save() {
  tries=0
  while [ "$tries" -lt 50 ]; do
    case $(ask save) in
      OK*) return ;;
    esac
    tries=$((tries + 1))
    sleep 0.2
  done
}
# Redis refuses SIGTERM while it writes its first append-only file. Without that file it saves a snapshot, which start.sh loads. A
# file that start.sh would load instead is not switched off: SIGTERM is repeated until it is complete.
save_without_first_aof() {
  [ ! -r "$note" ] || read -r recorded <"$note"
  [ "$recorded" != aof ] || return
  answer=$(ask info persistence)
  case $answer in
    *aof_enabled:1*) ;;
    *) return ;;
  esac
  case $answer in
    *aof_rewrite_in_progress:1* | *aof_rewrite_scheduled:1*) ask config set appendonly no && save ;;
  esac
}
# The kubelet sends SIGTERM once, when this script ends. The signal has no effect on a process that has not installed its handler yet,
# nor on a server that writes its first append-only file, as a replica does after each full synchronization: the pod would stay until
# the kubelet kills it at the end of the grace period. The end of the container ends this loop. A process of another name, such as
# `pause` where containers share their processes, gets no signal.
# A server that saves its data does not answer, and gets no second signal: on some file systems that would interrupt the save. A server
# whose first append-only file failed tries again, and would end without it.
repeat_sigterm() {
  tries=0
  while [ "$tries" -lt 1000 ] && sleep 1 && kill -0 "$process"; do
    tries=$((tries + 1))
    case $(ask info persistence) in
      *aof_rewrite_scheduled:1*) [ "$recorded" != aof ] || continue ;;
    esac
    case $(cat "/proc/$process/comm") in
      *redis* | *valkey*) kill -TERM "$process" ;;
    esac
  done
}
recorded=
wait_for_handover
save_without_first_aof
# The kubelet waits until no process has the output of this script open. A redirection of the function alone would keep a copy of it.
(exec </dev/null >/dev/null 2>&1 && repeat_sigterm) &
exit 0
