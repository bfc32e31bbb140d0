# SPDX-License-Identifier: GPL-2.0-or-later
# RAM of reserved huge pages, of one NUMA node, and populated before the start: with a VF, and what is refused.
# topologies: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1
vf=$(vf_bdf "$igb" 0)
pool=/sys/kernel/mm/hugepages/hugepages-2048kB
free() { cat $pool/free_hugepages; }
vmm() { pgrep -P "$guest" pcivm; }
refused() { # CODE REGEX OPTION...
    expect_exit "$1" timeout 20 pcivm vm run web --kernel /lab/l2/vmlinux --memory 256M "${@:3}"
    expect_match "message" "$stderr" "$2"
}

refused 7 "this host has 0 free pages of 2M, 128 wanted.*nr_hugepages" --hugepages 2M
refused 2 "--hugepages 3M found, a size that this host has wanted: .*2M" --hugepages 3M
refused 2 "node 7 found, one with memory wanted: 0" --numa 7
defer eval "echo 0 >$pool/nr_hugepages"
echo 130 >$pool/nr_hugepages
expect_eq "huge pages" "$(free)" 130
refused 5 "balloon beside --hugepages" --hugepages 2M --balloon

guest_start sleep --hugepages 2M --device "$vf"
guest_says "LAB-RESULT ready=1" 90
expect_eq "huge pages that are left" "$(free)" 2
expect_eq "of them mapped" "$(awk '/^Private_Hugetlb|^Shared_Hugetlb/ { sum += $2 } END { print sum }' "/proc/$(vmm)/smaps")" 262144
guest_end
expect_eq "huge pages afterwards" "$(free)" 130

guest_start sleep --numa 0 --populate
guest_says "LAB-RESULT ready=1" 90
expect_match "policy" "$(cat "/proc/$(vmm)/numa_maps")" "bind:0 "
resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$(vmm)/status")
((resident >= 262144)) || fail "$resident KiB are resident, wanted all 262144 of RAM"
guest_end
