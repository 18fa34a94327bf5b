# What the hooks do on the machine of a node, as root or as the owner of the data directory: VERB NAME=VALUE…. It comes there by
# stdin, rejoin.sh behind it, whose last line begins the work: what is cut off on the way does nothing.
# shellcheck shell=sh

# The last line of stdout, and the exit code.
answer() {
    if [ -n "${4:-}" ]; then
        printf '{"status":"%s","message":"%s","data":{%s}}\n' "$2" "$3" "$4"
    else
        printf '{"status":"%s","message":"%s"}\n' "$2" "$3"
    fi
    exit "$1"
}
done_() { answer 0 ok "$@"; }
no() { answer 10 no "$@"; }
already() { answer 11 already "$@"; }
retry() { answer 20 retry "$@"; }
unknown() { answer 30 unknown "$@"; }
failed() { answer 1 failed "$@"; }

main() {
    verb=$1
    shift
    # Not in anybody's data directory, and on to the end when the connection breaks.
    cd / || exit 30
    trap '' HUP PIPE
    umask 077
    LC_ALL=C
    export LC_ALL
    data= debian= bindir= passfile= slot= application_name= user=replicator superuser=postgres sslmode= sslrootcert=
    node= host= port= method=auto within=30
    read_words "$@"
    deadline=$(($(date +%s) + within))
    find_data
    case $verb in
    fence) fence ;;
    is-fenced) is_fenced ;;
    stop) alone; stop_primary ;;
    is-stopped) is_stopped ;;
    start) alone; start_primary ;;
    restart) alone; restart_standby ;;
    rejoin) alone; rejoin ;;
    is-standby) is_standby ;;
    *) unknown "no verb $verb" ;;
    esac
}

read_words() {
    for word in "$@"; do
        value=${word#*=}
        case $word in
        data=*) data=$value ;;
        debian=*) debian=$value ;;
        bindir=*) bindir=$value ;;
        passfile=*) passfile=$value ;;
        slot=*) slot=$value ;;
        application_name=*) application_name=$value ;;
        user=*) user=$value ;;
        superuser=*) superuser=$value ;;
        sslmode=*) sslmode=$value ;;
        sslrootcert=*) sslrootcert=$value ;;
        node=*) node=$value ;;
        host=*) host=$value ;;
        port=*) port=$value ;;
        method=*) method=$value ;;
        within=*) within=$value ;;
        *) unknown "a word is not known: hook-lib.sh and node.sh are of different versions" ;;
        esac
    done
}

# $data: where the server looks for its data. $home: where they are, aside while they are rewound. $owner: whose they are.
find_data() {
    if [ -n "$debian" ]; then
        version=${debian%%/*} cluster=${debian#*/}
        etc=/etc/postgresql/$version/$cluster
        [ -e "$etc/postgresql.conf" ] || unknown "there is no cluster $debian here"
        data=$(pg_conftool -s "$version" "$cluster" show data_directory </dev/null) || unknown "pg_conftool does not say where cluster $debian has its data"
        bindir=${bindir:-/usr/lib/postgresql/$version/bin}
    fi
    data=$(readlink -f -- "$data") || unknown "the path of the data directory cannot be followed"
    home=$data
    if [ ! -e "$data" ] && [ -d "$data.rejoin" ]; then home=$data.rejoin; fi
    [ -f "$home/PG_VERSION" ] && [ -d "$home/global" ] || unknown "there is no data directory at the place that the file of nodes names, or it may not be read"
    owner=$(stat -c %U -- "$home")
    # Where others' processes run cannot be seen, and nothing of theirs can be stopped.
    root=no
    [ "$(id -u)" != 0 ] || root=yes
    [ "$root" = yes ] || [ "$(id -un)" = "$owner" ] || unknown "this runs neither as root nor as $owner, who owns the data directory"
    if [ -z "$bindir" ]; then
        read -r version <"$home/PG_VERSION"
        for bindir in "/usr/lib/postgresql/$version/bin" "/usr/pgsql-$version/bin" ""; do
            [ ! -x "$bindir/postgres" ] || break
        done
    fi
}

# Two that change something keep out of each other's way; a fence waits for nobody.
alone() {
    touch "$data.lock" || failed "the directory above the data directory cannot be written"
    exec 9>>"$data.lock"
    if [ "$root" = yes ]; then chown "$owner" "$data.lock"; fi
    flock -n 9 || retry "another hook is at work on this data directory"
}

past() { [ "$(date +%s)" -ge "$deadline" ]; }
pause() { sleep 0.05 2>/dev/null || sleep 1; }

# A program of PostgreSQL as the owner of the data, who has the passwords; without the lock, which a server would hold for ever.
as_owner() {
    program=$1
    shift
    [ -z "$bindir" ] || [ ! -x "$bindir/$program" ] || program=$bindir/$program
    if [ "$root" = yes ]; then
        set -- runuser -u "$owner" -- env "HOME=$(getent passwd "$owner" | cut -d: -f6)" "$program" "$@"
    else
        set -- "$program" "$@"
    fi
    if [ -n "$passfile" ]; then set -- env "PGPASSFILE=$passfile" "$@"; fi
    "$@" </dev/null 9>&-
}

# ---- Processes

# $found: the processes of the data directory; $unclear: servers' processes of which it cannot be told. One that is just ending has
# no directory any more, so it is asked again.
look() {
    tries=0
    scan
    while [ -n "$unclear" ] && [ "$tries" -lt 10 ]; do
        pause
        tries=$((tries + 1))
        scan
    done
}

# By inode, so that it is right behind links, mounts and in containers. A shell that somebody left standing there is none of them.
# Not as root, of others' processes nothing can be told; but a server runs as the owner of its data or not at all.
scan() {
    found= unclear=
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        if [ "$process/cwd" -ef "$home" ]; then
            ! counts || found="$found $pid"
        elif [ ! -e "$process/cwd" ] && { [ "$root" = yes ] || [ -O "$process" ]; } && counts && [ "$called" = postgres ]; then
            unclear="$unclear $pid"
        fi
    done
}

# Whether the process runs, and is no shell at a terminal.
counts() {
    [ "$pid" != $$ ] && [ "$pid" != "$PPID" ] || return 1
    { read -r line <"$process/stat"; } 2>/dev/null || return 1
    called=${line#*(}
    called=${called%)*}
    [ "$called" != postmaster ] || called=postgres
    # shellcheck disable=SC2086
    set -- ${line##*) }
    state=$1
    case $state in Z | X) return 1 ;; esac
    [ "$called" = postgres ] || [ "$5" = 0 ]
}

# Whether none is left. Twice: a process that forks and ends while we look may be missed once.
none_left() {
    look
    [ -z "$found$unclear" ] || return 1
    look
    [ -z "$found$unclear" ]
}

# $postmaster: the pid in the lock file if it is a process of this data directory, or nothing.
find_postmaster() {
    postmaster= recorded=
    { read -r recorded <"$home/postmaster.pid"; } 2>/dev/null
    case " $found " in
    *" $recorded "*) postmaster=$recorded ;;
    esac
}

# ---- What keeps a server from starting: no server starts without its control file, whoever starts it. pg_upgrade does the same.

guard() {
    [ ! -e "$home/global/pg_control.$1" ] || return 0
    other=fenced
    [ "$1" != fenced ] || other=stopped
    if [ -e "$home/global/pg_control.$other" ]; then
        mv -f -- "$home/global/pg_control.$other" "$home/global/pg_control.$1" || return 1
    else
        mv -f -- "$home/global/pg_control" "$home/global/pg_control.$1" || return 1
    fi
    # It must hold after a power failure too.
    timeout 5 sync "$home/global" || return 1
}

guarded() { [ ! -e "$home/global/pg_control" ] && [ -e "$home/global/pg_control.$1" ]; }

# Whatever guards it is lifted.
unguard() {
    for kind in fenced stopped; do
        if guarded "$kind"; then mv -- "$home/global/pg_control.$kind" "$home/global/pg_control" || return 1; fi
    done
}

# Debian's own word for it, which tells people why.
disable() {
    [ -n "$debian" ] && [ ! -e "$etc/start.conf.fenced" ] || return 0
    cp -p "$etc/start.conf" "$etc/start.conf.fenced" && echo disabled >"$etc/start.conf" ||
        echo "start.conf could not be changed; the fence holds without it" >&2
}
enable() {
    [ -n "$debian" ] && [ -e "$etc/start.conf.fenced" ] || return 0
    cat "$etc/start.conf.fenced" >"$etc/start.conf" && rm -f "$etc/start.conf.fenced"
}

# A field of the control file, wherever that is now.
control() {
    for file in pg_control pg_control.fenced pg_control.stopped; do
        [ ! -e "$home/global/$file" ] || break
    done
    copy=$(mktemp -d) && mkdir "$copy/global" && cp "$home/global/$file" "$copy/global/pg_control" &&
        cp "$home/PG_VERSION" "$copy/" && chown -R "$owner" "$copy" || return 1
    as_owner pg_controldata -D "$copy" 2>/dev/null | sed -n "s/^$1: *//p"
    rm -r -- "$copy"
}

# ---- Fence

fence() {
    if none_left && { guarded fenced || [ "$home" != "$data" ]; }; then already "fenced before"; fi
    # First what keeps it from coming back, so that nobody restarts it in between.
    held=yes
    [ "$home" != "$data" ] || guard fenced || held=
    disable
    look
    find_postmaster
    if [ -n "$postmaster" ]; then
        process=/proc/$postmaster pid=$postmaster
        # As pg_ctl stop -m immediate does. A frozen one does not hear it.
        if counts && [ "$state" != T ]; then
            kill -QUIT "$postmaster" 2>/dev/null
            patience=20
            while [ "$patience" -gt 0 ] && counts; do
                pause
                patience=$((patience - 1))
            done
        fi
    fi
    until none_left; do
        # shellcheck disable=SC2086
        [ -z "$found" ] || kill -KILL $found 2>/dev/null
        if past; then retry "still there:$found$unclear"; fi
        pause
    done
    [ -n "$held" ] || unknown "no process is left, but nothing keeps it from starting: global/pg_control could not be renamed and synced"
    done_ "fenced: no process is left, and it cannot start"
}

# For probes: goes on only if none is left.
must_be_gone() {
    if none_left; then return; fi
    [ -z "$found" ] || no "still there:$found"
    unknown "of these it cannot be told which data directory is theirs:$unclear"
}

is_fenced() {
    must_be_gone
    [ "$home" = "$data" ] || done_ "no process is left, and it cannot start: its data are aside"
    guarded fenced || no "no process is left, but nothing keeps it from starting"
    done_ "no process is left, and it cannot start"
}

# ---- Stop and start

# Asks for a fast stop and waits. 1: it goes on.
stop_fast() {
    look
    find_postmaster
    if [ -z "$postmaster" ]; then
        none_left
        return
    fi
    kill -INT "$postmaster" 2>/dev/null
    until none_left; do
        if past; then return 1; fi
        pause
    done
}

where_it_ends() { printf '"shutdown_checkpoint_lsn":"%s"' "$(control 'Latest checkpoint location')"; }

stop_primary() {
    if none_left && guarded stopped; then already "stopped before" "$(where_it_ends)"; fi
    if guarded fenced; then no "it is fenced"; fi
    [ ! -e "$home/standby.signal" ] || no "it is a standby"
    [ -n "$(control 'Database cluster state')" ] || unknown "pg_controldata does not work here: set bindir in the file of nodes"
    look
    find_postmaster
    if [ -n "$found" ] && [ -z "$postmaster" ]; then no "its postmaster is gone and these are left, so there is no stop in order:$found"; fi
    stop_fast || unknown "it has not stopped within $within s, and will; a hung archive_command or walsender holds it up. still there:$found"
    [ "$(control 'Database cluster state')" = "shut down" ] || no "it was no orderly stop: $(control 'Database cluster state')"
    guard stopped || unknown "it is stopped, but nothing keeps it from starting: global/pg_control could not be renamed and synced"
    done_ "stopped in order, and it cannot start" "$(where_it_ends)"
}

is_stopped() {
    must_be_gone
    guarded stopped || no "no process is left, but it was not stopped by stop-primary"
    state=$(control 'Database cluster state')
    [ -n "$state" ] || unknown "pg_controldata does not work here: set bindir in the file of nodes"
    [ "$state" = "shut down" ] || no "it was no orderly stop: $state"
    done_ "stopped in order, and it cannot start" "$(where_it_ends)"
}

# Starts it and waits until it answers. 1: it does not.
start_server() {
    if [ -n "$debian" ]; then
        pg_ctlcluster "$version" "$cluster" start </dev/null >&2 9>&- || return 1
    else
        as_owner pg_ctl -D "$data" -l "$data.log" -w -t "$within" start >&2 || return 1
    fi
    until [ -n "$(ask_here 'SELECT 1')" ]; do
        if past; then return 1; fi
        pause
    done
}

start_primary() {
    if guarded fenced || [ "$home" != "$data" ]; then no "it is fenced: rejoin-old-primary brings it back"; fi
    if [ -e "$home/standby.signal" ]; then no "it is a standby"; fi
    look
    if [ -n "$found" ] && [ "$(ask_here 'SELECT pg_is_in_recovery()')" = f ]; then already "it runs"; fi
    if [ -n "$host" ] && [ "$(ask_primary 'SELECT pg_is_in_recovery()')" = f ]; then no "$host:$port takes writes: there would be two primaries"; fi
    unguard || failed "global/pg_control could not be named back"
    start_server || unknown "it was started and does not answer"
    done_ "it runs"
}

restart_standby() {
    [ "$home" = "$data" ] && [ -e "$home/standby.signal" ] || no "it is no standby"
    if guarded fenced || guarded stopped; then no "it is fenced or stopped"; fi
    stop_fast || unknown "it has not stopped within $within s"
    start_server || unknown "it was started and does not answer"
    done_ "restarted"
}

# ---- Questions to servers

# Asks the server of this data directory, over its socket, as its owner.
ask_here() {
    at= socket=
    { { read -r _ && read -r _ && read -r _ && read -r at && read -r socket; } <"$home/postmaster.pid"; } 2>/dev/null
    case $at in '' | *[!0-9]*) return 1 ;; esac
    case $socket in '') socket=localhost ;; *[!A-Za-z0-9_./@-]*) return 1 ;; esac
    ask "host=$socket port=$at user=$superuser dbname=postgres connect_timeout=3" "$1" 2>/dev/null
}

at_primary() {
    echo "host=$host port=$port${sslmode:+ sslmode=$sslmode}${sslrootcert:+ sslrootcert=$sslrootcert}"
}

ask_primary() { ask "$(at_primary) user=$superuser dbname=postgres connect_timeout=5" "$1"; }

ask() {
    psql=$bindir/psql
    [ -x "$psql" ] || psql=psql
    as_owner timeout 60 "$psql" -XAtqw -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

# $stream: whom this server streams from, host:port; "" as a standby that does not, "primary" if it is one, "unknown".
find_stream() {
    stream=$(ask_here "SELECT CASE WHEN pg_is_in_recovery()
        THEN coalesce((SELECT sender_host || ':' || sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'), '')
        ELSE 'primary' END") || stream=unknown
}
