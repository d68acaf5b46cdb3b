# Prepares the namespaces of one cluster, which `unshare` has made, and runs a command in them.
# This shell is their first process: it collects processes that have lost their parent, and with
# its end the system ends all others.
#
#   sh namespaces.sh DIRECTORY-OF-THE-RUN COMMAND…
set -eu
directory=$1
shift

# The programs of a node write to fixed paths.
for path in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$path"; done
mkdir /run/lock /run/netns

# The kubelet sets these for the whole machine. It finds them set and leaves the machine alone.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/proc/sys/${setting%=*}
    [ -e "$file" ] || continue
    copy=$directory/$(basename "$file")
    echo "${setting#*=}" >"$copy"
    mount --bind "$copy" "$file"
done

ip link set lo up
ip link add node0 type bridge
ip address add "$NODE_IP/24" dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
# Policies also apply between pods of one node.
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
fi

status=0
"$@" || status=$?
exit "$status"
