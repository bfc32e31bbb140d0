# SPDX-License-Identifier: GPL-2.0-or-later
# Each user of a function is found, named by kind, and gone when it has gone.
# topologies: vtd
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh

igb=$(bdf igb)
nvme=$(bdf nvme)
disk=nvme0n1

# users DEVICE: "kind: detail" lines
users() {
    expect_exit 0 pcivm device show "$1" -o json
    json '.inUse[] | "\(.kind): \(.detail)"'
}
expect_users() { expect_eq "users of $1" "$(users "$1")" "$2"; }

expect_users "$nvme" ""
mkswap "/dev/$disk" >/dev/null
swapon "/dev/$disk"
expect_users "$nvme" "swap: swap -> $disk -> $nvme"
swapoff "/dev/$disk"
expect_users "$nvme" ""

dmsetup create labdisk --table "0 131072 linear /dev/$disk 0"
defer dmsetup remove labdisk
mapped=$(ls "/sys/class/block/$disk/holders")
# The host has no udev to make the node.
mknod /dev/mapper/labdisk b $(tr : ' ' <"/sys/class/block/$mapped/dev")
defer rm /dev/mapper/labdisk
expect_users "$nvme" "holder: $mapped -> $disk -> $nvme"
mkfs.ext4 -q "/dev/$mapped"
mkdir -p mounted
mount "/dev/$mapped" mounted
defer umount "$PWD/mounted"
expect_users "$nvme" "mount: $PWD/mounted -> $mapped -> $disk -> $nvme"

expect_users "$igb" ""
interface=$(netdev_of "$igb")
echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_ra" # the emulated network advertises a router
ip link set "$interface" up
defer ip link set "$interface" down
expect_users "$igb" ""
ip address add 198.51.100.1/24 dev "$interface"
defer ip address flush dev "$interface"
expect_users "$igb" "address: $interface is up with 198.51.100.1"
ip route add default via 198.51.100.254
expect_match "users" "$(users "$igb")" "^route: default route -> $interface
address: "
ip address flush dev "$interface"
expect_users "$igb" ""

defer sh -c "echo 0 >$pci/$igb/sriov_numvfs"
echo 1 >"$pci/$igb/sriov_numvfs"
vf=$(vf_bdf "$igb" 0)
echo vfio-pci >"$pci/$vf/driver_override"
echo "$vf" >"$pci/$vf/driver/unbind"
modprobe -a vfio-pci vfio_iommu_type1
echo "$vf" >/sys/bus/pci/drivers_probe
expect_users "$vf" ""
hold "/dev/vfio/$(group_of "$vf")"
expect_users "$vf" "vfio: pid $holder (sleep)"
expect_users "$igb" "vf: $vf: vfio: pid $holder (sleep)"
