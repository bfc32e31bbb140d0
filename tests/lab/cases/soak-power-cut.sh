# SPDX-License-Identifier: GPL-2.0-or-later
# The power fails at each single record that `pcivm apply` keeps, one boot each.
# topologies: systemd
# deadline: 120
# needs: pcivm
# soak: yes
CUTS=$(seq 1 60)
. /lab/cases/boot-power-cut.sh
