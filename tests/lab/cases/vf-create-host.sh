# SPDX-License-Identifier: GPL-2.0-or-later
# VFs can be left without driver or given to the host's own driver.
# topologies: vtd
# needs: pcivm
# deadline: 90
. /lab/cases/lib.sh

igb=$(bdf igb)
defer pcivm -q vf destroy "$igb" --yes
expect_exit 0 pcivm vf create "$igb" 2
expect_eq "driver without --bind" "$(driver_of "$(vf_bdf "$igb" 0)")" none
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci
expect_eq "driver after --bind vfio-pci" "$(driver_of "$(vf_bdf "$igb" 1)")" vfio-pci
expect_exit 0 pcivm vf destroy "$igb" --yes

expect_exit 0 pcivm vf create "$igb" 2 --bind host
for index in 0 1; do
    vf=$(vf_bdf "$igb" "$index")
    expect_eq "driver after --bind host" "$(driver_of "$vf")" igbvf
    expect_eq "override after --bind host" "$(<"$pci/$vf/driver_override")" "(null)"
done
expect_exit 0 pcivm vf create "$igb" 2 --bind vfio-pci --dry-run -o json
expect_eq "VFs after a dry run" "$(driver_of "$(vf_bdf "$igb" 0)")" igbvf
