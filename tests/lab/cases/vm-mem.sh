# SPDX-License-Identifier: GPL-2.0-or-later
# RAM that comes and goes: the guest uses it, keeps what is in it, the host gets it back, a restart begins anew.
# topologies: vtd
# needs: pcivm
# deadline: 600
. /lab/cases/lib.sh

vm=guest-mem
MiB=$((1 << 20))
memory() { pcivm vm show "$vm" -o json | jq ".memoryHotplug.$1 / $MiB"; }
has() { [[ $(memory present) == "$1" ]]; }
resident() { # of the VMM, in MiB
    awk '/^Rss:/ { print int($2 / 1024) }' "/proc/$(pgrep -P "$guest" pcivm | head -n 1)/smaps_rollup"
}
times() { (($(grep -cE "$2" guest.console) >= $1)); }

# What cannot follow it is refused, and sizes that are none.
refused() { # CODE REGEX OPTION...
    expect_exit "$1" timeout 20 pcivm vm run web --kernel /lab/l2/vmlinux "${@:3}"
    expect_match "message" "$stderr" "$2"
}
refused 5 "max= beside --hugepages" --memory 256M,max=1G --hugepages 2M
refused 5 "max= beside --iommu virtio" --memory 256M,max=1G --iommu virtio
refused 5 "max= beside --user-device" --memory 256M,max=1G --user-device socket=/none
refused 2 "no less as max wanted" --memory 1G,max=256M
refused 2 "steps of 2 MiB" --memory 256M,max=257M

guest_memory=256M,max=1G
# A guest without the driver.
parameters="module_blacklist=virtio_mem"
guest_start sleep
guest_says "LAB-RESULT ready=1" 90
expect_exit 8 pcivm vm set guest-sleep --memory 768M --timeout 2 -o json
document stderr
expect_eq "code" "$(jq -r .error.code <<<"$stderr")" guest.memory
expect_exit 0 pcivm vm stop guest-sleep --force
guest_wait

# It grows, and the guest uses more than it started with.
parameters="memhp_default_state=online_movable lab.fill=600 lab.reboot=1"
guest_start mem
guest_says "LAB-RESULT ready=1" 90
expect_eq "VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE" "$(sed -n 's/.*features=.\(.\).*/\1/p' guest.console)" 1
before=$(resident)
expect_exit 2 pcivm vm set "$vm" --memory 2G
expect_match "message" "$stderr" "256 MiB to 1024 MiB in steps of 2 MiB"
expect_exit 2 pcivm vm set "$vm" --memory 257M
expect_eq "present" "$(memory present)" 256
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 180 -o json
document
expect_eq "present" "$(json .present)" $((768 * MiB))
expect_match "shown" "$(pcivm vm show "$vm")" "256M at the start, 768M now, 768M wanted, 1G at most"
guest_says "LAB-RESULT filled=419430400" 90
filled=$(resident)
((filled > before + 350)) || fail "$filled MiB are resident, $before were before 400 MiB were used"

# It moves what it uses out of what it gives back, and gives back all when it does not use it any more.
expect_exit 0 pcivm vm set "$vm" --memory 640M --timeout 180
guest_says "LAB-RESULT kept=20" 60
guest_says "LAB-RESULT freed=1" 60
expect_exit 0 pcivm vm set "$vm" --memory 256M --timeout 180
gave_back() { (($(resident) < filled - 350)); }
expect_within 10 gave_back
echo "MEASURED resident MiB: at the start $before, filled $filled, given back $(resident)"

# A restart of the guest, which comes when it sees less: all is unplugged; what is wanted then comes by itself.
expect_within 90 times 2 "LAB-RESULT ready=1"
expect_eq "present" "$(memory present)" 256
expect_exit 0 pcivm vm set "$vm" --memory 512M --timeout 180
expect_within 90 times 3 "LAB-RESULT ready=1"
expect_within 60 has 512
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
