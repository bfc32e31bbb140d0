# SPDX-License-Identifier: GPL-2.0-or-later
# A VF reaches by DMA what has come, whether it was there before or comes itself.
# topologies: vtd
# container: vtd
# needs: pcivm
# deadline: 300
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)
pf_up "$igb" 10.99.0.1/24
vm=guest-mem
defer tail -n 15 guest.console guest.stderr # what a guest said that nobody waited for
MiB=$((1 << 20))
present() { pcivm vm show "$vm" -o json | jq ".memoryHotplug.present / $MiB"; }
mapped() { pcivm vm show "$vm" -o json | jq ".dma.mappedBytes / $MiB"; }
agree() { [[ $(mapped) == "$(present)" ]]; } # the guest may still be giving back
guest_memory=256M,max=1G
# One CPU: tracing patches code, and the emulated processor shows another one what was there before (int3).

# A VF of the start: its DMA goes to what has come.
parameters="memhp_default_state=online lab.fill=600 lab.vf=1 lab.keep=1"
guest_start mem --cpus 1 --device "$vf"
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 90
expect_eq "mapped" "$(mapped)" 768
guest_says "LAB-RESULT received=[1-9][0-9]* high=[1-9]" 90
grep "LAB-RESULT received" guest.console
guest_says "LAB-RESULT freed=1" 60
run pcivm vm set "$vm" --memory 512M --timeout 20
less() { (($(present) < 768)); }
expect_within 60 less
now=$(present)
expect_within 20 agree
echo "MEASURED with kernel memory in it $now MiB are left of 768, 512 wanted"
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait

# A VF that comes finds what is there, and takes no mapping along for the next one.
parameters="memhp_default_state=online lab.fill=600 lab.vf=1 lab.keep=1"
guest_start mem --cpus 1
guest_says "LAB-RESULT ready=1" 90
expect_exit 0 pcivm vm set "$vm" --memory 512M --timeout 90
expect_exit 0 pcivm attach "$vm" "$vf"
expect_eq "mapped" "$(mapped)" 512
expect_exit 0 pcivm vm set "$vm" --memory 768M --timeout 90
expect_eq "mapped" "$(mapped)" 768
guest_says "LAB-RESULT received=[1-9][0-9]* high=[1-9]" 90
expect_exit 0 pcivm detach "$vm" "$vf"
run pcivm vm set "$vm" --memory 512M --timeout 15
expect_exit 0 pcivm attach "$vm" "$vf"
expect_within 20 agree
expect_exit 0 pcivm vm stop "$vm" --force
guest_wait
expect_eq "driver" "$(driver_of "$vf")" igbvf
