# SPDX-License-Identifier: GPL-2.0-or-later
# --p2p: what the guest has mapped of the BARs of its devices is mapped for their DMA too, and gone when they are. iommufd
# refuses that, which is told once, and the VM goes on without.
# topologies: vtd
# container: vtd
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh

igb=$(bdf igb)
nic=$(bdf e1000e)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 1 --bind host
vf=$(vf_bdf "$igb" 0)

# ask: what the VM that runs says of itself; then $bytes of BARs are mapped.
ask() {
    expect_exit 0 pcivm vm show guest-sleep -o json
    bytes=$(json .dma.peerBytes)
}
start() {
    guest_start sleep --device "$vf" --device "$nic" "$@"
    guest_says "LAB-RESULT ready=1" 90
}

start
ask
expect_eq "bytes of BARs without --p2p" "$bytes" 0
document
expect_eq "RAM that is mapped" "$(json .dma.mappedBytes)" $((256 << 20))
for each in "$vf" "$nic"; do
    vectors=$(json ".interrupts.devices[] | select(.device == \"$each\") | \"\(.vectors) of \(.mostVectors)\"")
    expect_match "vectors of $each" "$vectors" '^[1-5] of [35]$'
done
expect_match "routes" "$(json '.interrupts | "\(.routes) of \(.mostRoutes)"')" '^(2[4-9]|3[0-2]) of 4096$'
expect_exit 0 pcivm vm show guest-sleep
expect_match "interrupts" "$stdout" "$vf [1-3] of 3 vectors"
expect_match "DMA" "$stdout" "256M in [0-9]+ runs"
guest_end

start --p2p
if [[ $backend == container ]]; then
    ask
    ((bytes >= 128 << 10)) || fail "$bytes bytes of BARs are mapped" # the registers of the e1000e alone
    ! grep "do not reach it" guest.stderr || fail "a BAR is not mapped"
    expect_exit 0 pcivm detach guest-sleep "$nic"
    both=$bytes
    ask
    ((bytes > 0 && bytes < both)) || fail "$bytes bytes of BARs are mapped without the NIC, $both with it"
else
    ask
    expect_eq "bytes of BARs" "$bytes" 0
    expect_eq "how often it is said" "$(grep -c "do not reach it" guest.stderr)" 2
fi
guest_end
expect_exit 0 pcivm reconcile -o json
expect_eq "repairs" "$(json '.items | length')" 0
