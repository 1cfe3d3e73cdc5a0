# Becomes a process of the stack, having recorded itself first, so that no process lives unrecorded for an instant.
# Where the record cannot be made (the reaper is at work), it does not start.
#
# $1: the folder of records; $2: the process's name; then the command.
pids=$1 name=$2
shift 2
started() { set -- ${stat##*) }; start=${20}; }
start=
[ ! -r "/proc/$$/stat" ] || { read -r stat <"/proc/$$/stat" && started; }
: >"$pids/$$.$start.$name" || exit 70
exec "$@"
