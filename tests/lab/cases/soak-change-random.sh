# SPDX-License-Identifier: GPL-2.0-or-later
# Hundreds of random changes, as change-random.
# topologies: vtd amdvi
# soak: yes
# needs: pcivm
# deadline: 1800
. /lab/cases/lib.sh
. /lab/cases/random.sh
random_changes 400
