# Run by the kubelet inside the container before it ends Redis. While this server takes the writes and has replicas, the
# operator is given time to hand its role to one of them, which loses no write; anything else need not be waited for.
password=/usr/local/etc/redis-auth/password
ask() {
  # The password reaches redis-cli by its environment: an argument would show in the process list.
  if [ -r "$password" ]; then
    REDISCLI_AUTH=$(cat "$password") redis-cli -h "$POD_IP" -p 6379 --no-auth-warning info replication 2>&1
  else
    redis-cli -h "$POD_IP" -p 6379 info replication 2>&1
  fi
}
tries=0
while [ "$tries" -lt 100 ]; do
  answer=$(ask)
  case $answer in
    *role:master*connected_slaves:0*) exit 0 ;;
    *role:master*) ;;
    *) exit 0 ;;
  esac
  tries=$((tries + 1))
  sleep 0.2
done
echo "still the primary after 20 s: the operator did not hand the role over"
