# SPDX-License-Identifier: GPL-2.0-or-later
# Without interrupt remapping a device could forge any interrupt: the VM is refused and the VF returned.
# topologies: noir
# container: noir
# needs: pcivm
# deadline: 60
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
expect_exit 5 timeout 30 pcivm vm run web --kernel /lab/l2/vmlinux --initrd /lab/l2/initrd --memory 256M --device "$vf" "${assigned_by[@]}"
expect_match "message" "$stderr" "interrupt remapping"
expect_eq "driver of the VF" "$(driver_of "$vf")" igbvf
