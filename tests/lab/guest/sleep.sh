# SPDX-License-Identifier: GPL-2.0-or-later
# Stays up for lab.seconds (default: until it is ended from outside).
echo "LAB-RESULT ready=1"
sleep "${LAB_seconds:-100000}"
