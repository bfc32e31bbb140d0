# SPDX-License-Identifier: GPL-2.0-or-later
# Says back what is typed on its console.
echo "LAB-RESULT ready=1"
read -r line
echo "LAB-RESULT typed=$line"
