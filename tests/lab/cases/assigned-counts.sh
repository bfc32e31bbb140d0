# SPDX-License-Identifier: GPL-2.0-or-later
# What a VF costs the kernel, counted: one reset and at most 14 calls until it is ready; nothing when the guest turns
# memory decode off and on or writes the same into the MSI-X table again; three calls for mask, rewrite and unmask.
# topologies: vtd amdvi
# container: vtd
# needs: pcivm
# deadline: 180
. /lab/cases/lib.sh

[[ -e /lab/bin/vf_kernel ]] || fail "no /lab/bin/vf_kernel: build the target vf_kernel"
igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind vfio-pci
vf=$(vf_bdf "$igb" 0)
mkfifo keys
exec 7<>keys

# play WORD=LETTER... -- COMMAND...: runs COMMAND before a VM that is told each letter and says the word.
play() {
    local -a told=()
    while [[ $1 != -- ]]; do told+=("$1") && shift; done
    shift
    rm -f timeline.json
    : >guest.console # as in guest_start
    "$@" pcivm vm run counts --kernel /lab/bin/vf_kernel --memory 128M "${assigned_by[@]}" --device "$vf" \
        --timeline timeline.json <keys >guest.console 2>guest.stderr &
    guest=$!
    defer guest_kill "$guest" counts
    guest_says LAB-READY 90
    [[ ! -e strace.log ]] || cp strace.log strace.ready
    for each in "${told[@]}" OFF=o; do
        echo -n "${each#*=}" >&7
        guest_says "LAB-${each%=*}"
    done
    guest_wait
    expect_eq "exit code" "$code" 0
}
counted() { jq -r "[.ioctls | to_entries[] | select(.key | test(\"$1\")) | .value] | add // 0" timeline.json; }
maps='MAP_DMA|IOAS_(UN)?MAP'
interrupts='SET_GSI_ROUTING|IRQFD|SET_IRQS'

count_resets
play --
# The kernel's own at open, and the one at close.
expect_eq "function level resets" "$(resets)" 2
expect_eq "resets asked for" "$(counted VFIO_DEVICE_RESET)" 0
mapped=$(counted "$maps")
bare=$(counted "$interrupts")

play TOGGLED=t --
expect_eq "DMA mappings made or removed by 8 decode toggles" $(($(counted "$maps") - mapped)) 0
play MSIX=m --
three=$(($(counted "$interrupts") - bare))
play MSIX=m SAME=u --
expect_eq "calls for unchanged MSI-X entries" $(($(counted "$interrupts") - bare)) "$three"
play MSIX=m CYCLED=c --
cycles=$(($(counted "$interrupts") - bare - three))
((cycles <= 24)) || fail "$cycles calls for 8 times mask, rewrite, unmask, wanted at most 24"
# Set up: 1 + 2 for each; taken back: 1 for each, 1 for all, 1 for the routes.
((three <= 12)) || fail "$three calls to set up and take back three MSI-X vectors, wanted at most 12"

play -- strace -f -y -qq -o strace.log -e trace=ioctl,pread64,pwrite64,mmap
calls=$(vfio_calls strace.ready | sed -n 's/^total=//p')
((calls >= 10 && calls <= 14)) || fail "$calls calls to open a VF, wanted at most 14: $(vfio_calls strace.ready | tr '\n' ' ')"
echo "opened by $calls calls; three vectors set up and taken back by $three; 8 cycles by $cycles"
