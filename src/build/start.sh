# Starts Redis so that the data on the volume are loaded, whatever redis.conf says about `appendonly`. Redis itself does not:
# with `appendonly yes` it ignores dump.rdb and starts empty, with `appendonly no` it ignores the append-only file.
#   sh start.sh                        starts Redis (the container's command)
#   sh start.sh note SERVER-ANSWER     records which files a running server keeps complete (called by probe.sh)
# The paths and the server can be given in the environment, for tests.
data=${REDIS_DATA:-/data}
conf=${REDIS_CONF:-/usr/local/etc/redis/redis.conf}
server=${REDIS_SERVER:-redis-server}
auth=${REDIS_AUTH_CONF:-/usr/local/etc/redis-auth/auth.conf}

dump=$data/dump.rdb
multi=$data/appendonlydir # Redis 7.0 and later, and Valkey
manifest=$multi/appendonly.aof.manifest
single=$data/appendonly.aof # Redis 6.2
# Line 1: which files are complete, "aof" or "rdb", or "off" for an append-only file that was switched off while the server
# runs; the lines after it: the append-only file at that time.
note=$data/.redis-operator

fail() {
  echo "start.sh: $*" >&2
  exit 1
}

# What distinguishes the present append-only file from an earlier one: each complete rewrite changes it.
identity() {
  if [ -s "$manifest" ]; then
    cat "$manifest"
  elif [ -s "$single" ]; then
    ls -i "$single"
  fi
}

write_note() {
  { echo "$1" && identity; } >"$note.new" && mv "$note.new" "$note"
}

# Names of the files that the manifest lists, but for those that are history.
listed() {
  while read -r word name _ _ _ type; do
    case $word/$type in
      file/h*) ;;
      file/*) echo "$name" ;;
    esac
  done <"$manifest"
}

# Whether this is a snapshot without keys, as the first file of a new append-only file is. The size is asked for and not counted:
# `wc` of BusyBox reads the whole file, and the liveness probe would end this script before it has read a large one.
is_keyless() {
  [ "$(stat -L -c %s "$1")" -lt 200 ] || return 1
  case $(od -An -v -tx1 "$1" | tr -d ' \n') in
    # The last field is "aof-base", or "aof-preamble" of Redis 6.2; then the end and the checksum follow.
    *62617365c00?ff???????????????? | *616d626c65c00?ff????????????????) return 0 ;;
    *62617365c00?* | *616d626c65c00?*) return 1 ;;
  esac
}

# Sets `stray` to a file with data that belongs to an append-only file without a manifest.
find_stray() {
  for file in "$multi"/*; do
    case ${file##*/} in
      temp-* | *.manifest) continue ;;
      *.base.rdb) ! is_keyless "$file" || continue ;;
    esac
    [ ! -f "$file" ] || [ ! -s "$file" ] || { stray=$file; aof=stray; return; }
  done
}

# Sets `aof` to "complete", "empty", "incomplete", "stray" or "none".
inspect_aof() {
  aof=none
  if [ -s "$manifest" ]; then
    aof=empty
    for name in $(listed); do
      file=$multi/$name
      # Redis 7.0 and later writes the manifest first when it takes over the file of Redis 6.2.
      [ "$name" != appendonly.aof ] || [ -f "$file" ] || [ ! -f "$single" ] || file=$single
      [ -f "$file" ] || { aof=incomplete; missing=$file; return; }
      case $name in
        *.base.rdb) is_keyless "$file" || aof=complete ;;
        *) [ ! -s "$file" ] || aof=complete ;;
      esac
    done
  elif [ -s "$single" ]; then
    aof=complete
  else
    find_stray
  fi
}

# Seconds since 1970 at which the snapshot was begun, from its own header; 0 where that cannot be read.
snapshot_time() {
  header=$(head -c 600 "$dump" | od -An -v -tx1 | tr -d ' \n')
  case $header in
    *fa056374696d65c2*)
      rest=${header#*fa056374696d65c2}
      rest=$(echo "$rest" | sed 's/^\(..\)\(..\)\(..\)\(..\).*/\4\3\2\1/')
      echo $((0x$rest))
      ;;
    *) echo 0 ;;
  esac
}

# Seconds since 1970 of the last write to the append-only file.
aof_time() {
  newest=0
  if [ -s "$manifest" ]; then
    for name in $(listed); do
      file=$multi/$name
      [ -f "$file" ] || file=$single
      time=$(stat -L -c %Y "$file") || time=0
      [ "$time" -le "$newest" ] || newest=$time
    done
  else
    newest=$(stat -L -c %Y "$single") || newest=0
  fi
  echo "$newest"
}

# Whether the snapshot has all that is in the append-only file. The first time in its header is that of its beginning, by the
# clock of the primary for a replica; a process that is slow to begin may be a second late. The second time is that of its end.
is_snapshot_newer() {
  last=$(aof_time)
  [ "$(snapshot_time)" -gt $((last + 1)) ] && [ "$(stat -L -c %Y "$dump")" -gt "$last" ]
}

note_running() {
  recorded=
  [ ! -r "$note" ] || read -r recorded <"$note"
  case $1 in
    *loading:1* | *rdb_bgsave_in_progress:1* | *aof_rewrite_in_progress:1* | *aof_rewrite_scheduled:1*) ;;
    *aof_enabled:1*)
      case $1 in
        *aof_last_bgrewrite_status:ok*)
          inspect_aof
          case $recorded/$aof in
            aof/* | */none | */incomplete | */stray) ;;
            *) write_note aof ;;
          esac
          ;;
      esac
      ;;
    *aof_enabled:0*rdb_last_bgsave_status:ok* | *rdb_last_bgsave_status:ok*aof_enabled:0*)
      if [ "$recorded" != rdb ] && [ -s "$dump" ] && is_snapshot_newer; then
        write_note rdb
      elif [ "$recorded" = aof ]; then
        write_note off
      fi
      ;;
    *aof_enabled:0*) [ "$recorded" != aof ] || write_note off ;;
  esac
  exit 0
}

[ "$1" != note ] || note_running "$2"

# The first process of a container ignores every signal for which it has no handler.
trap 'exit 143' TERM

for tool in redis-cli "$server"; do
  command -v "$tool" >/dev/null || fail "the image has no $tool; use an image of Redis or Valkey that has redis-server and redis-cli"
done
[ -d "$data" ] && [ -r "$data" ] && [ -w "$data" ] && [ -x "$data" ] ||
  fail "user $(id -u) may not read and write $data: its owner is $(stat -c '%u:%g, mode %a' "$data"); change the owner to $(id -u):$(id -g), or use a storage driver that supports fsGroup"
for file in "$single" "$manifest" "$note"; do
  [ ! -e "$file" ] || [ -f "$file" ] || fail "$file is not a file; move it away"
done
[ ! -e "$multi" ] || [ -d "$multi" ] || fail "$multi is not a directory; move it away"
for file in "$dump" "$single" "$multi" "$multi"/*; do
  # What cannot be a snapshot is judged below.
  [ "$file" != "$dump" ] || [ ! -d "$dump" ] || continue
  [ ! -e "$file" ] || { [ -r "$file" ] && [ -w "$file" ]; } ||
    fail "user $(id -u) may not read and write $file: its owner is $(stat -c '%u:%g, mode %a' "$file"); change the owner to $(id -u):$(id -g)"
done

# The kubelet brings new files of the ConfigMap and of the Secret one after the other: redis.conf may ask for a password that
# is not there yet.
tries=0
while grep -qxF "include $auth" "$conf" && [ ! -r "$auth" ]; do
  [ "$tries" -lt 50 ] || fail "redis.conf includes $auth, which is missing: the Secret with the password does not exist, or is not mounted yet"
  tries=$((tries + 1))
  sleep 1
done

# The last one in the file counts.
wanted=$(sed -n 's/^[[:space:]]*[aA][pP][pP][eE][nN][dD][oO][nN][lL][yY][[:space:]][[:space:]]*//p' "$conf" | tail -n 1 | tr -d '"'\''[:space:]' | tr '[:upper:]' '[:lower:]')
case $wanted in
  yes) wanted=aof ;;
  *) wanted=rdb ;;
esac

inspect_aof
recorded=""
same=no
if [ -r "$note" ]; then
  read -r recorded <"$note"
  [ "$(tail -n +2 "$note")" != "$(identity)" ] || same=yes
fi
[ -s "$manifest" ] && [ -s "$single" ] && [ -n "$(listed)" ] && [ "$(listed)" != appendonly.aof ] &&
  fail "$data has the append-only files of two versions, $manifest and $single, and it is not known which is newer; move one of them away"

# Redis was writing a first append-only file, as after a full synchronization: the present one lacks what came since.
unfinished=no
if [ -s "$manifest" ]; then
  [ ! -e "$multi/temp-appendonly.aof.incr" ] || unfinished=yes
else
  for file in "$data"/temp-rewriteaof-*.aof; do
    [ ! -e "$file" ] || unfinished=yes
  done
fi

mode=$wanted
case $aof in
  incomplete)
    [ "$recorded/$same" = rdb/yes ] && [ -s "$dump" ] ||
      fail "the append-only file is incomplete: $missing is missing; restore it, or move $multi away to start without it"
    ;;
  stray)
    [ "$recorded" = rdb ] && [ -s "$dump" ] ||
      fail "$stray belongs to an append-only file whose manifest, $manifest, is missing; restore it, or move $multi away to start without these data"
    ;;
esac
if [ -e "$dump" ] && { [ ! -f "$dump" ] || [ ! -s "$dump" ]; }; then
  [ "$recorded" != rdb ] && [ "$aof" = complete ] ||
    fail "$dump is not a snapshot: it is empty, or not a file; restore it, or move it away to start without it"
  mode=aof
elif [ -e "$dump" ]; then
  case $recorded/$same/$aof in
    */*/none | */*/stray) mode=rdb ;;
    # The server kept this append-only file complete, unless it was switched off since or is being written anew.
    aof/*/* | off/*/*)
      mode=aof
      if [ "$recorded/$wanted/$unfinished" != aof/aof/no ] && is_snapshot_newer; then mode=rdb; fi
      ;;
    # It was switched off before the last start, or while the server ran.
    rdb/yes/*) mode=rdb ;;
    # It was switched on, and completed, since the last start.
    rdb/no/*) mode=aof ;;
    # A volume of unknown history.
    */*/empty) mode=rdb ;;
    *) if is_keyless "$dump" || [ "$(aof_time)" -ge "$(snapshot_time)" ]; then mode=aof; else mode=rdb; fi ;;
  esac
else
  case $aof in
    complete | empty) mode=aof ;;
  esac
fi
if [ "$mode" = aof ] && [ -s "$manifest" ]; then
  case $("$server" --version) in
    *v=6.*) fail "the data are in $multi, which Redis 6.2 cannot read; use Redis 7.0 or later" ;;
  esac
fi
# A save or rewrite that was killed leaves its temporary file, which nothing reads any more.
rm -f "$data"/temp-*.rdb "$data"/temp-rewriteaof-*.aof "$data"/temp-rewriteaof-bg-*.aof "$data"/appendonly.aof.tmp "$multi"/temp-*
# On a full volume Redis can still load and serve the data: a record that would decide the same need not be written again.
write_note "$mode" ||
  { [ "$recorded" = "$mode" ] && { [ "$mode" = aof ] || [ "$same" = yes ]; }; } ||
  fail "cannot write to $data; the volume may be full: grow spec.storage.size"
set -- "$conf"
# A pod that was made to have a password has it, whether redis.conf is older or newer than the pod.
if [ -n "$REDIS_PASSWORD_REQUIRED" ] && ! grep -qxF "include $auth" "$conf"; then
  [ -r "$auth" ] || fail "a password is required, and $auth is missing: the Secret with the password does not exist, or is not mounted yet"
  set -- "$@" --include "$auth" --protected-mode yes
fi
case $mode in
  "$wanted") ;;
  aof) set -- "$@" --appendonly yes ;;
  rdb) set -- "$@" --appendonly no ;;
esac
exec "$server" "$@"
