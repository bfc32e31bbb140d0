# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing: /init powers off when a script ends.
echo "LAB-RESULT kernel=$(uname -r)"
