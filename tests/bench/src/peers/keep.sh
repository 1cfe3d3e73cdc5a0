# Restate's server and the service behind it, for as long as standard input stays open: whoever started this closes it, or
# dies in whatever way. Then both are killed and their directory is removed. Nobody ever writes to it.
#
# $1: the directory, which is not there yet; $2: the server; $3: the service. Prints the pids of the two.
trap '' HUP INT TERM
mkdir -m 700 "$1" && cd "$1" || exit
# The server leaves files where temporary ones go.
export TMPDIR="$PWD"
"$2" --no-logo >server.log 2>&1 &
server=$!
node "$3" handled >handler.log 2>&1 &
handler=$!
echo "$server $handler"
while read -r _; do :; done
# Still its own children, whom it has not waited for: nobody else has these pids.
kill -KILL "$server" "$handler" 2>/dev/null
wait
cd / && rm -rf "$1"
