# SPDX-License-Identifier: GPL-2.0-or-later
# Uses through real stacks: a file system on a volume on a volume on an array, bridges, bonds, VLANs, macvlan, namespaces,
# policy routing. Each names its whole chain, and binding is refused.
# topologies: vtd
# needs: pcivm
# deadline: 150
. /lab/cases/lib.sh

nic=$(bdf e1000e)
nvme=$(bdf nvme)
disk=nvme0n1
interface=$(netdev_of "$nic")

users() {
    expect_exit 0 pcivm device show "$1" -o json
    json '.inUse[] | "\(.kind): \(.detail)"'
}
expect_users() { expect_eq "users of $1" "$(users "$1")" "$2"; }
refused() {
    expect_exit 4 pcivm device bind "$1"
    expect_match "message" "$stderr" "$2"
}
node() { mknod "/dev/$1" b $(tr : ' ' <"/sys/class/block/$1/dev") 2>/dev/null; }

# An array of one drive, made through sysfs as no mdadm is here, and two device-mapper volumes on it. (What kind they
# are is the same to sysfs; this kernel's modules lack the ciphers for one of LUKS.)
modprobe -a raid1 dm_mod
echo md_lab >/sys/module/md_mod/parameters/new_array
md=/sys/block/md_lab/md
defer sh -c "echo clear >$md/array_state"
echo none >$md/metadata_version
echo raid1 >$md/level
echo 1 >$md/raid_disks
cat "/sys/block/$disk/dev" >$md/new_dev
echo 0 >"$md/dev-$disk/slot"
echo 65536 >$md/component_size
echo active >$md/array_state
node md_lab
dmsetup create labinner --table "0 65536 linear /dev/md_lab 0"
defer dmsetup remove labinner
inner=$(ls /sys/block/md_lab/holders)
node "$inner"
dmsetup create labroot --table "0 65536 linear /dev/$inner 0"
defer dmsetup remove labroot
volume=$(ls "/sys/block/$inner/holders")
node "$volume"
mkfs.ext4 -q "/dev/$volume"
mkdir -p mounted
mount "/dev/$volume" mounted
defer umount "$PWD/mounted"
chain="$volume -> $inner -> md_lab -> $disk -> $nvme"
expect_users "$nvme" "mount: $PWD/mounted -> $chain"
refused "$nvme" "mounted -> $chain"
umount mounted
mkswap "/dev/$volume" >/dev/null
swapon "/dev/$volume"
expect_users "$nvme" "swap: swap -> $chain"
swapoff "/dev/$volume"

# The controller's own node.
hold /dev/nvme0
expect_match "users" "$(users "$nvme")" "open: pid $holder \(sleep\) -> /dev/nvme0"
let_go

modprobe -a bridge 8021q macvlan
modprobe bonding max_bonds=0
defer rmmod bonding
ip link add br-lab type bridge
defer ip link del br-lab
ip link set "$interface" master br-lab
expect_users "$nic" "bridge: $interface is a port of br-lab"
refused "$nic" "port of br-lab"
ip link set "$interface" nomaster
ip link add bond-lab type bond
defer ip link del bond-lab
ip link set "$interface" down
ip link set "$interface" master bond-lab
expect_users "$nic" "bridge: $interface is a port of bond-lab"
ip link set "$interface" nomaster
ip link set "$interface" down
for kind in "vlan id 5" "macvlan mode bridge"; do
    ip link add link "$interface" name upper-lab type $kind
    expect_users "$nic" "upper: $interface carries upper-lab"
    ip link del upper-lab
done

# Another table than main.
echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_ra"
ip link set "$interface" up
defer ip link set "$interface" down
ip address add 198.51.100.1/24 dev "$interface"
defer ip address flush dev "$interface"
ip route add default via 198.51.100.254 table 77
expect_match "users" "$(users "$nic")" "route: default route of table 77 -> $interface"
ip address flush dev "$interface"
ip link set "$interface" down

# A session of ours through sudo and tmux has its address in the environment of a parent.
ip address add 198.51.100.1/24 dev "$interface"
ip link set "$interface" up
expect_exit 0 env SSH_CONNECTION="198.51.100.9 50000 198.51.100.1 22" bash -c "env -u SSH_CONNECTION pcivm device show $nic -o json; true"
expect_match "users" "$(json '.inUse[].kind' | tr '\n' ' ')" "ssh"
ip address flush dev "$interface"
ip link set "$interface" down

# Namespaces: with a name, without a process in it.
ip netns add lab
defer umount /run/netns
defer ip netns del lab
defer sh -c "ip netns exec lab ip link set $interface netns 1 2>/dev/null; true"
ip link set "$interface" netns lab
expect_users "$nic" "netns: $interface in network namespace lab"
refused "$nic" "$interface in network namespace lab"
ip netns exec lab ip link set "$interface" netns 1
