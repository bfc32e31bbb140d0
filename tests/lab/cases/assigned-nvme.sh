# SPDX-License-Identifier: GPL-2.0-or-later
# What guests write to an NVMe VF and to a whole drive is what they, and afterwards the host, read.
# topologies: vtd amdvi
# container: vtd amdvi
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

[[ -e /lab/bin/verify ]] || fail "there is no verify: ninja -C build/release verify"
nvme=$(bdf nvme)
bytes=$((16 << 20))
disk() { ls /dev/nvme?n1; }
# written WHAT DEVICE SEED: a guest writes by way of DEVICE, and the host sees it when that is over.
written() {
    parameters=lab.seed=$3
    guest_run nvme --device "$2"
    expect_eq "exit code with $1" "$code" 0
    expect_eq "error with $1" "$(result error)" ""
    expect_eq "bytes with $1" "$(result verified)" "$bytes"
    (($(result vectors) >= 1)) || fail "$1 has no interrupt vector"
}

guest_initrd /lab/bin/verify
defer pcivm -q vf destroy "$nvme" --yes
expect_exit 0 pcivm vf create "$nvme" 1 --set vq=2 --set vi=1 --set namespaces=1
vf=$(vf_bdf "$nvme" 0)
written "the VF" "$vf" 11
expect_exit 0 verify kept "$(disk)" 16 11
expect_exit 0 pcivm vf destroy "$nvme" --yes

written "the whole drive" "$nvme" 12
expect_eq "driver of $nvme" "$(driver_of "$nvme")" nvme
expect_within 20 disk >/dev/null
expect_exit 0 verify kept "$(disk)" 16 12
