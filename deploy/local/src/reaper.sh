# Ends every process of one stack and removes its directory, as soon as standard input closes: when the supervisor
# closes it, and just as well when the supervisor dies, in whatever way. Nobody ever writes to it.
#
# $1: the stack's private directory. Its folder `pids` holds one empty file a process, <pid>.<start time>.<name>,
# made by launch.sh.
trap '' HUP INT TERM
while read -r _; do :; done
cd / || exit

# From here on no process can record itself, and one that cannot does not start: none is missed.
mv "$1/pids" "$1/ending" 2>/dev/null

# Sets `pid` and `name`; true while that very process lives. The start time tells it from a later process that was
# given the same pid. A zombie (state Z) is dead: in a container there may be nobody to collect it.
alive() {
    name=${1##*/}
    pid=${name%%.*} name=${name#*.}
    start=${name%%.*} name=${name#*.}
    if [ -z "$start" ]; then kill -0 "$pid" 2>/dev/null; return; fi
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "${20}" = "$start" ]
}

# Waits until all are gone, $2 times 20 ms at most.
gone() {
    tries=$2
    while [ "$tries" -gt 0 ]; do
        tries=$((tries - 1)) left=
        for record in "$1"/ending/*; do alive "$record" && left=1; done
        [ -n "$left" ] || return 0
        sleep 0.02 2>/dev/null || sleep 1
    done
    return 1
}

# PostgreSQL is asked to leave at once (SIGQUIT), so that it takes its shared memory with it. The rest have nothing
# outside the directory. A process held by SIGSTOP would not hear SIGQUIT.
for record in "$1"/ending/*; do
    alive "$record" || continue
    case $name in
    postgres) kill -QUIT "$pid"; kill -CONT "$pid" ;;
    *) kill -KILL "-$pid" ;;
    esac
done 2>/dev/null
if ! gone "$1" 500; then
    for record in "$1"/ending/*; do alive "$record" && kill -KILL "-$pid"; done 2>/dev/null
    gone "$1" 100
fi

# A PostgreSQL that was killed leaves this file; the second number of line 7 is the id of its shared memory.
if [ -f "$1/postgres/data/postmaster.pid" ]; then
    sed -n 7p "$1/postgres/data/postmaster.pid" | { read -r _ id && ipcrm -m "$id"; } 2>/dev/null
fi

# What a dying process writes meanwhile may make one pass fail.
for _ in 1 2 3 4 5; do
    rm -rf "$1" 2>/dev/null && break
    sleep 0.1 2>/dev/null || sleep 1
done
