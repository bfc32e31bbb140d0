# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty guests one after the other with the same VF leave nothing behind: no file, node, record, process or open file.
# topologies: vtd amdvi
# soak: yes
# needs: pcivm
# deadline: 1500
. /lab/cases/lib.sh
cycles=50

# The kernel's own figure is exact to 32 for each processor; a VM has more than 30 files open.
open_files() {
    cut -f 1 /proc/sys/fs/file-nr
}
all_left_behind() {
    left_behind
    ls /sys/kernel/debug/kvm 2>/dev/null
}

igb=$(bdf igb)
kernel_vfs "$igb" 1
vf=$(vf_bdf "$igb" 0)

for ((cycle = 0; cycle <= cycles; cycle++)); do
    guest_run devices --device "$vf"
    expect_eq "exit code of guest $cycle" "$code" 0
    expect_match "devices of guest $cycle" "$stdout" "8086:10ca driver=igbvf vectors=3"
    # The first one also makes what stays once made, such as /dev/vfio/vfio and debugfs files.
    if ((cycle == 0)); then
        before=$(all_left_behind)
        files=$(open_files)
    fi
    expect_eq "what guest $cycle leaves behind" "$(all_left_behind)" "$before"
done
grown=$(($(open_files) - files))
((grown < 2 * cycles)) || fail "$grown more open files after $cycles guests, wanted fewer than two for each"
