# SPDX-License-Identifier: GPL-2.0-or-later
# Uses an edu device and a NIC, which the host could not tell apart.
. /guest/edu.sh
. /guest/nic.sh
