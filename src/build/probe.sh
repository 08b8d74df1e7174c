# Asks Redis how it is: `sh probe.sh ready` or `sh probe.sh alive`. Run by the kubelet inside the container.
# It dials the pod's own address, because protected mode answers the loopback and refuses everybody else.
password=/usr/local/etc/redis-auth/password
note=${REDIS_DATA:-/data}/.redis-operator
ask() {
  # The password reaches redis-cli by its environment: an argument would show in the process list. With the name of the user,
  # a server without a password takes it too.
  if [ -r "$password" ]; then
    REDISCLI_AUTH=$(cat "$password") redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" --user default --no-auth-warning 2>&1
  else
    redis-cli -h "$POD_IP" -p "${REDIS_PORT:-6379}" 2>&1
  fi
}
# start.sh needs to know at the next start which files the server kept complete: that changes while the server runs.
record_persistence() {
  recorded=
  [ ! -r "$note" ] || read -r recorded <"$note"
  case $recorded/$answer in
    aof/*aof_enabled:1* | rdb/*aof_enabled:0*) ;;
    */*aof_enabled:*) sh "${0%probe.sh}start.sh" note "$answer" ;;
  esac
}
case $1 in
  ready)
    # A server starts within moments, and a replica gets its role within moments: asking a few times now is faster than
    # waiting for the kubelet's next round.
    tries=0
    while [ "$tries" -lt 20 ]; do
      answer=$(printf 'ping\ninfo replication\ninfo persistence\n' | ask)
      case $answer in
        # These take long: asking often would take the CPU time that Redis needs for it.
        LOADING* | BUSY* | *master_sync_in_progress:1*) tries=$((tries + 9)); sleep 0.9 ;;
        # The mounted password is newer than the one Redis started with: it serves everybody who has the old one.
        # A server with all the clients it may have serves those.
        *WRONGPASS* | *"max number of clients"*) exit 0 ;;
        # It takes writes, or serves reads while it cannot write to its volume (MISCONF).
        *role:master*) record_persistence; exit 0 ;;
        *role:slave*master_link_status:up*) record_persistence; exit 0 ;;
        # It has been in sync since it started to follow its primary, whose end does not make it unready. A replica that
        # was never connected, or waits for its role, has -1 here.
        *role:slave*master_link_down_since_seconds:[0-9]*) record_persistence; exit 0 ;;
      esac
      tries=$((tries + 1))
      sleep 0.1
    done
    case $answer in
      *role:slave*) echo "not ready: the replica is not in sync with a primary yet" ;;
      *) echo "not ready: $answer" ;;
    esac
    exit 1
    ;;
  alive)
    # Any answer is a living server, also "I am loading" or "too many clients"; only silence is not.
    answer=$(echo ping | ask)
    case $answer in
      # redis-cli adds that the server closed the connection.
      *"max number of clients"*) exit 0 ;;
      "" | *"Could not connect"* | *"Connection refused"* | *"Connection reset"* | *"Server closed"*) ;;
      *) exit 0 ;;
    esac
    echo "no answer: $answer"
    exit 1
    ;;
esac
echo "usage: probe.sh ready|alive"
exit 2
