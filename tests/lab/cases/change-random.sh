# SPDX-License-Identifier: GPL-2.0-or-later
# Random sequences of changes, some of them killed, do to the host what a model says, and can all be undone.
# topologies: vtd amdvi
# needs: pcivm
# deadline: 240
. /lab/cases/lib.sh
. /lab/cases/random.sh
random_changes 25
