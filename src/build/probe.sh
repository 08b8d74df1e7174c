# Asks Redis how it is: `sh probe.sh ready` or `sh probe.sh alive`. Run by the kubelet inside the container.
# It dials the pod's own address, because protected mode answers the loopback and refuses everybody else.
password=/usr/local/etc/redis-auth/password
ask() {
  # The password reaches redis-cli by its environment: an argument would show in the process list.
  if [ -r "$password" ]; then
    REDISCLI_AUTH=$(cat "$password") redis-cli -h "$POD_IP" -p 6379 --no-auth-warning ping 2>&1
  else
    redis-cli -h "$POD_IP" -p 6379 ping 2>&1
  fi
}
case $1 in
  ready)
    # A server starts within moments: asking a few times now beats waiting for the kubelet's next round.
    tries=0
    while [ "$tries" -lt 20 ]; do
      answer=$(ask)
      case $answer in
        PONG) exit 0 ;;
        # The mounted password is newer than the one Redis started with: it serves everybody who has the old one.
        # And a server with all the clients it may have serves those, and one that cannot write to its volume serves reads.
        *WRONGPASS* | *"max number of clients"* | *MISCONF*) exit 0 ;;
      esac
      tries=$((tries + 1))
      sleep 0.1
    done
    echo "not ready: $answer"
    exit 1
    ;;
  alive)
    # Any answer is a living server, also "I am loading" or "too many clients"; only silence is not.
    answer=$(ask)
    case $answer in
      "" | *"Could not connect"* | *"Connection refused"* | *"Connection reset"* | *"Server closed"*) ;;
      *) exit 0 ;;
    esac
    echo "no answer: $answer"
    exit 1
    ;;
esac
echo "usage: probe.sh ready|alive"
exit 2
