# SPDX-License-Identifier: GPL-2.0-or-later
# A function that the kernel cannot reset alone is not given to a guest: it may hold what its last owner left.
# topologies: vtd
# needs: pcivm
# deadline: 60
. /lab/cases/lib.sh

edu=$(bdf edu)
before=$(driver_of "$edu")
guest_run poweroff --device "$edu"
expect_eq "exit code" "$code" 5
expect_match "message" "$stderr" "$edu.*reset"
expect_eq "driver of $edu" "$(driver_of "$edu")" "$before"
