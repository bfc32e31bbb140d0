# SPDX-License-Identifier: GPL-2.0-or-later
# Asks for a reset of the machine, by the way that reboot= of the command line names.
echo "LAB-RESULT rebooting=1"
reboot -f
