# SPDX-License-Identifier: GPL-2.0-or-later
# RAM that comes and goes: the guest uses it, a VF reaches it by DMA, the host gets it back, a restart begins anew.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 600
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
pf_up "$igb" 10.99.0.1/24
vm=guest-mem
MiB=$((1 << 20))
memory() { pcivm vm show "$vm" -o json | jq ".memoryHotplug.$1 / $MiB"; }
has() { [[ $(memory present) == "$1" ]]; }
mapped() { pcivm vm show "$vm" -o json | jq ".dma.mappedBytes / $MiB"; }
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
refused 5 "max= beside --iommu virtio" --memory 256M,max=1G --iommu virtio --device "$vf"
refused 5 "max= beside --user-device" --memory 256M,max=1G --user-device socket=/none
refused 2 "no less as max wanted" --memory 1G,max=256M
refused 2 "steps of 2 MiB" --memory 256M,max=257M

guest_memory=256M,max=1G
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
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 90 -o json
document
expect_eq "present" "$(json .present)" $((768 * MiB))
expect_match "shown" "$(pcivm vm show "$vm")" "256M at the start, 768M now, 768M wanted, 1G at most"
guest_says "LAB-RESULT filled=419430400" 90
filled=$(resident)
((filled > before + 350)) || fail "$filled MiB are resident, $before were before 400 MiB were used"

# It does not let go of what it uses; it does when it does not use it any more, and the host has it back.
expect_exit 8 pcivm vm set "$vm" --memory 256M --timeout 2 -o json
document stderr
expect_eq "code" "$(jq -r .error.code <<<"$stderr")" guest.memory
guest_says "LAB-RESULT kept=1" 60
expect_within 90 has 256
gave_back() { (($(resident) < filled - 350)); }
expect_within 10 gave_back
echo "MEASURED resident MiB: at the start $before, filled $filled, given back $(resident)"

# A restart of the guest, which comes when it sees less: all is unplugged; what is wanted then comes by itself.
expect_within 90 times 2 "LAB-RESULT ready=1"
expect_eq "present" "$(memory present)" 256
expect_exit 0 pcivm vm set "$vm" --memory 512M --timeout 90
expect_within 90 times 3 "LAB-RESULT ready=1"
expect_within 60 has 512
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait

# A VF of the start: its DMA goes to what has come.
parameters="memhp_default_state=online lab.fill=600 lab.vf=1 lab.keep=1"
guest_start mem --device "$vf"
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 90
expect_eq "mapped" "$(mapped)" 768
guest_says "LAB-RESULT received=[1-9][0-9]* high=[1-9]" 90
grep "LAB-RESULT received" guest.console
guest_says "LAB-RESULT freed=1" 60
run pcivm vm set "$vm" --memory 512M --timeout 20
less() { (($(memory present) < 768)); }
expect_within 60 less
now=$(memory present)
expect_eq "mapped when less is there" "$(mapped)" "$(memory present)"
echo "MEASURED with kernel memory in it $now MiB are left of 768, 512 wanted"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait

# A VF that comes finds what is there, and takes no mapping along for the next one.
parameters="memhp_default_state=online lab.fill=600 lab.vf=1 lab.keep=1"
guest_start mem
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm set "$vm" --memory 512M --timeout 90
expect_exit 0 pcivm attach "$vm" "$vf"
expect_eq "mapped" "$(mapped)" 512
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 90
expect_eq "mapped" "$(mapped)" 768
guest_says "LAB-RESULT received=[1-9][0-9]* high=[1-9]" 90
expect_exit 0 pcivm detach "$vm" "$vf"
run pcivm vm set "$vm" --memory 256M --timeout 15
expect_exit 0 pcivm attach "$vm" "$vf"
expect_eq "mapped by the next" "$(mapped)" "$(memory present)"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
expect_eq "driver" "$(driver_of "$vf")" igbvf
