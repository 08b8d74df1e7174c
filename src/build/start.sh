# Starts Redis so that the data on the volume are loaded, whatever redis.conf says about `appendonly`. Redis itself does not:
# with `appendonly yes` it ignores dump.rdb and starts empty, with `appendonly no` it ignores the append-only file.
#   sh start.sh                        starts Redis (the container's command)
#   sh start.sh note SERVER-ANSWER     records which files a running server keeps complete (called by probe.sh)
# The paths and the server can be given in the environment, for tests.
data=${REDIS_DATA:-/data}
conf=${REDIS_CONF:-/usr/local/etc/redis/redis.conf}
server=${REDIS_SERVER:-redis-server}

dump=$data/dump.rdb
multi=$data/appendonlydir # Redis 7.0 and later, and Valkey
manifest=$multi/appendonly.aof.manifest
single=$data/appendonly.aof # Redis 6.2
# Line 1: which files are complete, "aof" or "rdb"; the lines after it: the append-only file at that time.
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
  { echo "$1"; identity; } >"$note.new" && mv "$note.new" "$note"
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

# Sets `aof` to "complete", "empty", "incomplete" or "none".
inspect_aof() {
  aof=none
  if [ -s "$manifest" ]; then
    aof=empty
    for name in $(listed); do
      file=$multi/$name
      [ -f "$file" ] || { aof=incomplete; missing=$file; return; }
      case $name in
        # A snapshot without keys has less than 200 bytes.
        *.base.rdb) [ "$(wc -c <"$file")" -lt 200 ] || aof=complete ;;
        *) [ ! -s "$file" ] || aof=complete ;;
      esac
    done
  elif [ -s "$single" ]; then
    aof=complete
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
      time=$(stat -c %Y "$multi/$name") || time=0
      [ "$time" -le "$newest" ] || newest=$time
    done
  else
    newest=$(stat -c %Y "$single") || newest=0
  fi
  echo "$newest"
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
            aof/* | */none | */incomplete) ;;
            *) write_note aof ;;
          esac
          ;;
      esac
      ;;
    *aof_enabled:0*rdb_last_bgsave_status:ok* | *rdb_last_bgsave_status:ok*aof_enabled:0*)
      # Only a snapshot that was begun after the last write to the append-only file has all that is in it.
      [ "$recorded" = rdb ] || { [ -s "$dump" ] && [ "$(snapshot_time)" -gt "$(aof_time)" ] && write_note rdb; }
      ;;
  esac
  exit 0
}

[ "$1" != note ] || note_running "$2"

for tool in redis-cli "$server"; do
  command -v "$tool" >/dev/null || fail "the image has no $tool; use an image of Redis or Valkey that has redis-server and redis-cli"
done
[ -d "$data" ] && [ -r "$data" ] && [ -w "$data" ] && [ -x "$data" ] ||
  fail "user $(id -u) may not read and write $data: its owner is $(stat -c '%u:%g, mode %a' "$data"); change the owner to $(id -u):$(id -g), or use a storage driver that supports fsGroup"
for file in "$dump" "$single" "$multi" "$multi"/*; do
  [ ! -e "$file" ] || { [ -r "$file" ] && [ -w "$file" ]; } ||
    fail "user $(id -u) may not read and write $file: its owner is $(stat -c '%u:%g, mode %a' "$file"); change the owner to $(id -u):$(id -g)"
done

# A save or rewrite that was killed leaves its temporary file, which nothing reads any more.
rm -f "$data"/temp-*.rdb "$data"/temp-rewriteaof-*.aof "$data"/temp-rewriteaof-bg-*.aof "$data"/appendonly.aof.tmp "$multi"/temp-*

# The last one in the file counts.
wanted=$(sed -n 's/^[[:space:]]*[aA][pP][pP][eE][nN][dD][oO][nN][lL][yY][[:space:]][[:space:]]*//p' "$conf" | tail -n 1 | tr -d '"'\''[:space:]' | tr '[:upper:]' '[:lower:]')
case $wanted in
  yes) wanted=aof ;;
  *) wanted=rdb ;;
esac

inspect_aof
recorded= same=no
if [ -r "$note" ]; then
  read -r recorded <"$note"
  [ "$(tail -n +2 "$note")" != "$(identity)" ] || same=yes
fi
[ -s "$manifest" ] && [ -s "$single" ] &&
  fail "$data has the append-only files of two versions, $manifest and $single, and it is not known which is newer; move one of them away"

mode=$wanted
if [ -s "$dump" ]; then
  case $recorded/$same/$aof in
    */*/none) mode=rdb ;;
    # The server kept this append-only file complete. With `appendonly no`, it may have been switched off since, which the
    # time of the snapshot shows.
    aof/*/complete | aof/*/empty)
      mode=aof
      [ "$wanted" = aof ] || [ "$(snapshot_time)" -le "$(aof_time)" ] || mode=rdb
      ;;
    # It was switched off before the last start, or while the server ran.
    rdb/yes/*) mode=rdb ;;
    # It was switched on, and completed, since the last start.
    rdb/no/complete | rdb/no/empty) mode=aof ;;
    */*/incomplete) fail "the append-only file is incomplete: $missing is missing; restore it, or move $multi away to load $dump" ;;
    # A volume of unknown history.
    */*/empty) mode=rdb ;;
    *) if [ "$(aof_time)" -ge "$(snapshot_time)" ]; then mode=aof; else mode=rdb; fi ;;
  esac
else
  case $aof in
    incomplete) fail "the append-only file is incomplete: $missing is missing; restore it" ;;
    complete | empty) mode=aof ;;
  esac
fi
if [ "$mode" = aof ] && [ -s "$manifest" ]; then
  case $("$server" --version) in
    *v=6.*) fail "the data are in $multi, which Redis 6.2 cannot read; use Redis 7.0 or later" ;;
  esac
fi
write_note "$mode" || fail "cannot write to $data; the volume may be full: grow spec.storage.size"
if [ "$mode" = "$wanted" ]; then exec "$server" "$conf"; fi
case $mode in
  aof) exec "$server" "$conf" --appendonly yes ;;
  rdb) exec "$server" "$conf" --appendonly no ;;
esac
