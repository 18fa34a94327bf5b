# The second half of what runs on the machine of a node, behind node.sh: how an old primary becomes a standby of the new one.
# shellcheck shell=sh

need_primary() {
    case $port in
    '' | *[!0-9]*) unknown "the new primary is not named: PGV_CANDIDATE_HOST and _PORT are not set, and --primary HOST:PORT is not given" ;;
    esac
}

is_standby() {
    need_primary
    look
    [ -n "$found" ] || no "it does not run"
    find_stream
    case $stream in
    "$host:$port") done_ "it streams from $stream" ;;
    unknown) unknown "it does not answer" ;;
    '') no "it is a standby, and does not stream" ;;
    primary) no "it is a primary" ;;
    *) no "it streams from $stream" ;;
    esac
}

# While it is rewound or copied, its data stand aside under another name: nothing can start them half done.
rejoin() {
    need_primary
    slot=${slot:-$node} application_name=${application_name:-$node}
    case $slot in *[!a-z0-9_]*) failed "node $node cannot be the name of a slot: set slot=NAME in the file of nodes" ;; esac
    case $method in auto | rewind | copy) ;; *) failed "no method $method: rewind or copy" ;; esac
    standing
    ask_new_primary
    go_on_where_it_broke_off
    if [ "$home" = "$data" ]; then
        [ ! -e "$data.rejoin" ] && [ ! -e "$data.old" ] ||
            no "there is $data.rejoin or $data.old of an earlier rejoin: look what is in it, and remove it"
        mv -- "$data" "$data.rejoin" || failed "the data directory cannot be moved aside: a mount point needs a rejoin by hand"
        home=$data.rejoin
        keep_settings
        unguard || failed "global/pg_control could not be named back"
        if [ "$method" != copy ] && rewind; then finish rewind; fi
    fi
    [ "$method" != rewind ] || failed "it could not be rewound, and is fenced: --method copy makes it anew"
    copy
    finish copy
}

# What runs there now: a standby that follows nobody is stopped, everything else is left alone.
standing() {
    none_left && return
    find_stream
    case $stream in
    "$host:$port") already "it streams from $stream" ;;
    primary) no "it runs as a primary: fence it first" ;;
    unknown) no "processes are left that do not answer: fence it first" ;;
    '') stop_fast || retry "the standby has not stopped within $within s" ;;
    *) no "it streams from $stream" ;;
    esac
}

# That the new primary is one, of the same system, and ahead; it gets the slot first, so that it keeps WAL from now on.
ask_new_primary() {
    facts=$(ask_primary "SELECT pg_is_in_recovery()::text || ' ' || system_identifier FROM pg_control_system()") ||
        retry "$host:$port does not answer as $superuser"
    [ "${facts%% *}" = false ] || no "$host:$port is a standby"
    identity=$(control 'Database system identifier')
    [ -n "$identity" ] || unknown "pg_controldata does not work here: set bindir in the file of nodes"
    [ "${facts##* }" = "$identity" ] || no "$host:$port is of another system"
    # Before 16 a rewind goes by the control file, which has the new timeline only after a checkpoint.
    ask_primary CHECKPOINT && theirs=$(ask_primary 'SELECT timeline_id FROM pg_control_checkpoint()') ||
        retry "$host:$port makes no checkpoint for $superuser"
    state=$(control 'Database cluster state')
    case $state in
    'in production' | 'shut down' | 'shutting down' | 'in crash recovery')
        ours=$(control "Latest checkpoint's TimeLineID")
        [ "$theirs" -gt "$ours" ] || no "$host:$port is on timeline $theirs and this old primary on $ours: it is not the newer one"
        ;;
    esac
    ask_primary "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE slot_name = '$slot' AND NOT active AND wal_status = 'lost'" >/dev/null &&
        ask_primary "SELECT pg_create_physical_replication_slot('$slot', true)
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '$slot')" >/dev/null ||
        retry "$host:$port makes no slot $slot for $superuser"
}

# One that was made a standby of this primary already only needs its start.
go_on_where_it_broke_off() {
    [ "$home" = "$data" ] && [ "$method" != copy ] && [ -e "$data/standby.signal" ] || return
    grep -qxF "$(conninfo)" "$data/postgresql.auto.conf" || return
    whole=$deadline
    deadline=$(($(date +%s) + 20))
    enable
    if unguard && start_server && streams; then done_ "it streams from $host:$port" '"method":"start"'; fi
    deadline=$whole
    stop_fast || retry "it was started, does not stream and does not stop"
}

conninfo() {
    echo "primary_conninfo = '$(at_primary) user=$user application_name=$application_name${passfile:+ passfile=$passfile}'"
}

streams() {
    until find_stream && [ "$stream" = "$host:$port" ]; do
        if past; then return 1; fi
        pause
    done
}

# Its own settings: rewind and copy bring those of the new primary. Debian has them elsewhere.
keep_settings() {
    [ ! -d "$data.settings" ] || return 0
    rm -rf -- "$data.settings.new"
    mkdir -- "$data.settings.new" &&
        find "$home" -maxdepth 1 -type f \( -name '*.conf' -o -name '*.crt' -o -name '*.key' -o -name '*.pem' \) \
            ! -name postgresql.auto.conf -exec cp -p -t "$data.settings.new" {} + &&
        mv -- "$data.settings.new" "$data.settings" || failed "its settings could not be put aside"
}

# Back to where the timelines part. 1: it cannot be, or went wrong; then the data are good for nothing but a look.
rewind() {
    # Nothing of it is left, so the lock is nobody's.
    rm -f -- "$home/postmaster.pid"
    state=$(control 'Database cluster state')
    case $state in
    'shut down' | 'shut down in recovery') ;;
    'in production' | 'shutting down' | 'in crash recovery')
        # It was killed, and recovers from that first; alone, without a listener, and without a way to be a primary for anybody.
        set -- -c "data_directory=$home"
        [ -z "$debian" ] || set -- "$@" -c "config_file=$etc/postgresql.conf"
        as_owner postgres --single -D "$home" "$@" template1 >&2 || return 1
        ;;
    *) return 1 ;;
    esac
    as_owner pg_rewind --target-pgdata="$home" --source-server="$(at_primary) user=$superuser dbname=postgres" >&2
}

copy() {
    [ ! -L "$home/pg_wal" ] && [ -z "$(ls -A "$home/pg_tblspc")" ] ||
        no "it has tablespaces, or its WAL elsewhere: a copy must be made by hand. It is fenced"
    [ ! -e "$data.old" ] || no "there is $data.old of an earlier rejoin: look what is in it, and remove it"
    keep_settings
    rm -rf -- "$data.copy"
    as_owner pg_basebackup -w -d "$(at_primary) user=$user application_name=$application_name" -D "$data.copy" \
        -X stream -c fast -S "$slot" >&2 || retry "no copy could be made; it is fenced"
}

# finish METHOD: its settings, whom it follows, its name, its start.
finish() {
    ready=$home
    [ "$1" = rewind ] || ready=$data.copy
    find "$data.settings" -type f -exec cp -p -t "$ready" {} + || failed "its settings could not be put back"
    follow "$ready" || failed "it could not be made a standby"
    mv -- "$ready" "$data" || failed "it could not be moved back to its place"
    [ "$1" = rewind ] || mv -- "$home" "$data.old" || failed "the old data could not be put aside"
    home=$data
    rm -rf -- "$data.settings"
    enable
    start_server || retry "it was made a standby and does not answer"
    streams || retry "it is a standby of $host:$port and does not stream yet"
    done_ "it streams from $host:$port" "\"method\":\"$1\""
}

# Makes a directory that of a standby of the new primary.
follow() {
    auto=$1/postgresql.auto.conf
    {
        grep -vE '^ *(primary_conninfo|primary_slot_name) *=' "$auto"
        conninfo
        echo "primary_slot_name = '$slot'"
    } >"$auto.new" && : >"$1/standby.signal" || return 1
    if [ "$root" = yes ]; then chown "$owner:" "$auto.new" "$1/standby.signal" || return 1; fi
    mv -f -- "$auto.new" "$auto"
}

main "$@" </dev/null
exit
