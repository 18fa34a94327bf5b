# What every hook begins with: which node is meant, how it is reached, and node.sh run there. It runs where pgvigil runs.
# shellcheck shell=sh

LC_ALL=C
export LC_ALL
umask 077
here=$(dirname -- "$0")

# The end of a hook: status and message as its last line, and the exit code.
answer() {
    printf '{"status":"%s","message":"%s"}\n' "$2" "$3"
    exit "$1"
}

# Nothing was done, and nothing is known: a probe cannot tell, an action failed.
refuse() {
    echo "${0##*/}: $1" >&2
    if [ "$kind" = probe ]; then answer 30 unknown "$1"; fi
    answer 2 failed "$1"
}

# Whether a value can stand in a command of another machine as it is: no blank, no quote, nothing that a shell knows.
is_plain() {
    case $1 in
    '' | -* | *[!A-Za-z0-9_.:/@-]*) return 1 ;;
    esac
}

# Sets one value that node.sh is given, if it can be given.
give() {
    is_plain "$2" || refuse "$1 is empty or has a character other than A-Z, a-z, 0-9 and _.:/@-"
    words="$words $1=$2"
}

# begin KIND SECONDS [ARGUMENT…]: reads PGV_*, the arguments and the node's line.
begin() {
    kind=$1 within=$2 words=
    shift 2
    nodes=/etc/pgvigil/hooks/nodes.conf
    node=${PGV_OLD_PRIMARY_NODE:-} host=${PGV_CANDIDATE_HOST:-} port=${PGV_CANDIDATE_PORT:-} method=
    while [ $# -gt 0 ]; do
        [ $# -gt 1 ] || refuse "an argument has no value: --nodes FILE, --node NAME, --primary HOST:PORT, --timeout SECONDS, --method rewind or copy"
        case $1 in
        --nodes) nodes=$2 ;;
        --node) node=$2 ;;
        --primary) host=${2%:*} port=${2##*:} ;;
        --timeout) within=$2 ;;
        --method) method=$2 ;;
        *) refuse "an argument is none that there is: --nodes, --node, --primary, --timeout, --method" ;;
        esac
        shift 2
    done
    case $within in
    '' | *[!0-9]* | ??????*) refuse "--timeout is no number of seconds" ;;
    esac
    is_plain "$node" || refuse "no node is named: PGV_OLD_PRIMARY_NODE is not set or not plain, and --node is not given"
    find_node
    words="$words within=$within node=$node"
    if [ -n "$host$port" ]; then
        give host "$host"
        give port "$port"
    fi
    if [ -n "$method" ]; then give method "$method"; fi
}

# The line of the node: target, and where its data are.
find_node() {
    [ -r "$nodes" ] || refuse "the file of nodes cannot be read: make it, or give --nodes"
    # Who can write it decides what runs where.
    if [ -n "$(find -L "$nodes" \( -perm -020 -o -perm -002 \) -print)" ]; then
        refuse "the file of nodes can be written by group or others: chmod go-w"
    fi
    target=
    while read -r name to place options || [ -n "$name" ]; do
        [ "$name" = "$node" ] || continue
        [ -z "$target" ] || refuse "the file of nodes has node $node twice"
        is_plain "$to" || refuse "the target of node $node is not plain"
        target=$to
        case $place in
        debian:*/*) give debian "${place#debian:}" ;;
        /*) give data "$place" ;;
        *) refuse "node $node has no data directory: /whole/path or debian:VERSION/CLUSTER" ;;
        esac
        read_options "$options"
    done <"$nodes"
    [ -n "$target" ] || refuse "the file of nodes has no line for node $node"
}

read_options() {
    set -f
    for option in $1; do
        case $option in
        '#'*) break ;;
        bindir=* | passfile=* | slot=* | application_name=* | user=* | superuser=* | sslmode=* | sslrootcert=*)
            give "${option%%=*}" "${option#*=}"
            ;;
        *) refuse "an option of node $node is none that there is: bindir, passfile, slot, application_name, user, superuser, sslmode, sslrootcert" ;;
        esac
    done
    set +f
}

# on_node VERB: has node.sh do it where the node is, and ends with what it answered.
on_node() {
    set -- sh -s -- "$1"
    if [ "$target" != local ]; then
        set -- ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=yes -o ServerAliveInterval=5 \
            -o ServerAliveCountMax=3 -- "$target" "$@"
    fi
    # A little longer than what runs there, which knows more about why it did not end; in our process group, which pgvigil ends.
    most=$((within + 10))
    # By stdin, so that nothing needs to be installed there.
    # shellcheck disable=SC2086 # words are plain
    cat "$here/node.sh" "$here/rejoin.sh" | timeout --foreground -k 5 "$most" "$@" $words
    code=$?
    case $code in
    0 | 10 | 11 | 20 | 30) exit "$code" ;;
    124 | 137) answer 30 unknown "node $node did not answer within $most s" ;;
    255) answer 30 unknown "ssh to node $node failed" ;;
    esac
    if [ "$kind" = probe ]; then answer 30 unknown "the look at node $node ended with $code"; fi
    exit "$code"
}
