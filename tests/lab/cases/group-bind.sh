# SPDX-License-Identifier: GPL-2.0-or-later
# A whole group behind a shared bridge goes to vfio-pci and comes back, together or not at all.
# topologies: vtd
# needs: pcivm
# deadline: 120
. /lab/cases/lib.sh

shared=$(bdf shared)
group=$(group_of "$shared")
facts() { for member in "$pci/$shared/iommu_group/devices/"*; do
    echo "${member##*/} $(driver_of "${member##*/}") $(<"$member/driver_override")"
done; }
before=$(facts)
defer pcivm -q device release --group "$shared"

# None of its functions can be reset alone: refused, and nothing is touched.
expect_exit 5 pcivm device bind --group "$shared"
expect_match "message" "$stderr" "no proven reset"
expect_eq "the group" "$(facts)" "$before"

expect_exit 0 pcivm device bind --group "$shared" --force=no-reset --dry-run -o json
expect_eq "overrides come first" "$(json '[.items[].step | test("driver_override")] | index(false)')" 2
expect_eq "the group" "$(facts)" "$before"

expect_exit 0 pcivm device bind --group "$shared" --force=no-reset -o json
expect_eq "functions" "$(json '.items | length')" 2
for address in $(json '.items[].address'); do expect_eq "driver of $address" "$(driver_of "$address")" vfio-pci; done
expect_eq "driver of the bridge" "$(driver_of "$(bdf bridge)")" none
[[ -c /dev/vfio/$group ]] || fail "no /dev/vfio/$group"
expect_exit 0 pcivm device release --group "$shared"
expect_eq "the group" "$(facts)" "$before"

# One member in use: nothing of the group is touched.
interface=$(netdev_of "$shared")
echo 0 >"/proc/sys/net/ipv6/conf/$interface/accept_ra" # the emulated network advertises a router
ip address add 198.51.100.7/24 dev "$interface"
ip link set "$interface" up
expect_exit 4 pcivm device bind --group "$shared" --force=no-reset
expect_match "message" "$stderr" "$shared is in use: $interface is up with 198.51.100.7"
expect_eq "the group" "$(facts)" "$before"
# Taken all the same: what is lost is said before.
expect_exit 0 pcivm device bind --group "$shared" --force=no-reset --force=address
expect_match "message" "$stderr" "$interface goes with what it has: up, .*198.51.100.7"
expect_exit 0 pcivm device release --group "$shared"
expect_eq "the group" "$(facts)" "$before"
interface=$(netdev_of "$shared")
expect_match "the interface" "$(ip -o link show "$interface")" "<.*UP.*>" # it comes back as it was, but for addresses
ip link set "$interface" down

# Killed at any moment, the group is whole afterwards.
for delay in 0.02 0.05 0.1 0.15 0.2 0.3; do
    pcivm device bind --group "$shared" --force=no-reset >/dev/null 2>&1 &
    change=$!
    sleep "$delay"
    kill -KILL "$change" 2>/dev/null
    wait "$change" 2>/dev/null
    expect_exit 0 pcivm reconcile
    drivers=$(facts | grep -v "^$(bdf bridge) " | cut -d' ' -f2 | sort | tr '\n' ' ')
    [[ $drivers == "e1000 none " || $drivers == "vfio-pci vfio-pci " ]] || fail "after a kill at $delay s: $drivers"
    expect_exit 0 pcivm device release --group "$shared"
    expect_eq "the group" "$(facts)" "$before"
done
