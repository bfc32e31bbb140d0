# SPDX-License-Identifier: GPL-2.0-or-later
# pcivm doctor finds no problem on a host with IOMMU and interrupt remapping, and the one that is made.
# topologies: vtd amdvi
# deadline: 90
# needs: pcivm
. /lab/cases/lib.sh

expect_exit 0 pcivm doctor --exit-code -o json
expect_eq "problems" "$(json '[.items[] | select(.level == "problem") | .id] | join(" ")')" ""
expect_eq "unknowns of root" "$(json '[.items[] | select(.level == "unknown") | .id] | join(" ")')" ""
expect_eq "iommu" "$(json '.items[] | select(.id == "iommu") | .level')" ok
expect_eq "interrupt remapping" "$(json '.items[] | select(.id == "interrupt-remapping") | .level')" ok
expect_match "PFs" "$(json '.items[] | select(.id == "sriov") | .found')" "$(bdf igb)"
expect_eq "room for VFs" "$(json '.items[] | select(.id == "vf-mmio") | .level')" ok
expect_eq "window" "$(json '.items[] | select(.id == "mmio-window") | .level')" ok

# What an operator may have done, undone again at the end.
unsafe=/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
modprobe vfio_iommu_type1 # pcivm would load it too
defer sh -c "echo N >$unsafe"
echo Y >"$unsafe"
expect_exit 0 pcivm doctor -o json
expect_eq "unsafe interrupts" "$(json '.items[] | select(.id == "unsafe-interrupts") | .level')" warning
if [[ -e /sys/module/vfio/parameters/enable_unsafe_noiommu_mode ]]; then
    defer sh -c 'echo N >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode'
    echo Y >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    expect_exit 5 pcivm doctor --exit-code -o json
    expect_eq "no-IOMMU mode" "$(json '.items[] | select(.id == "noiommu") | .level')" problem
fi

# A captured host: another command line, the same everything else.
mkdir -p captured/proc captured/sys/bus
defer rm -rf captured
cp -a /sys/bus/pci captured/sys/bus/ 2>/dev/null
echo "root=/dev/sda1 pcie_acs_override=downstream" >captured/proc/cmdline
expect_exit 0 pcivm doctor --root captured -o json
expect_eq "ACS override" "$(json '.items[] | select(.id == "acs-override") | .level')" warning
expect_match "its fix" "$(json '.items[] | select(.id == "acs-override") | .fix')" "remove pcie_acs_override=downstream"

# One function, end to end: a PF cannot be given away while it has VFs, its VF can.
igb=$(bdf igb)
defer pcivm vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind vfio-pci
expect_exit 0 pcivm doctor -o json
expect_match "flow control" "$(json '.items[] | select(.id == "pause-frames") | .found')" "is on at $(netdev_of "$igb"), which has VFs"
expect_exit 5 pcivm doctor "$igb" --exit-code
expect_match "reason" "$stdout" "problem vfs-enabled"
expect_exit 0 pcivm doctor "$igb/vf0" --exit-code --all
expect_match "reset" "$stdout" "ok +reset +can be reset by: flr"

# A plain user: nothing is made up, what only root sees is unknown.
expect_exit 0 setpriv --reuid 65534 --regid 65534 --clear-groups pcivm doctor -o json
expect_eq "window" "$(json '.items[] | select(.id == "mmio-window") | .level')" unknown
expect_eq "problems of a user" "$(json '[.items[] | select(.level == "problem") | .id] | join(" ")')" ""
