# SPDX-License-Identifier: GPL-2.0-or-later
# The machine as its firmware tables tell of it, and what the kernel complained about. Needs the programs in the guest.
echo "LAB-RESULT vendor=$(cat /sys/class/dmi/id/sys_vendor)"
echo "LAB-RESULT serial=$(cat /sys/class/dmi/id/product_serial)"
dmidecode >/run/dmi 2>&1
echo "LAB-RESULT dmidecode=$?"
grep -E 'OUT OF SPEC|BROKEN|rong|nvalid|TRUNCATED|BAD INDEX|No SMBIOS' /run/dmi | sed 's/^/LAB-DMI /'
mkdir /run/acpi
cd /run/acpi
acpidump -b >/run/acpidump 2>&1
echo "LAB-RESULT acpidump=$?"
sed 's/^/LAB-ACPIDUMP /' /run/acpidump
for table in *.dat; do
    iasl -d "$table" >/run/iasl 2>&1 || echo "LAB-IASL $table cannot be read"
    grep -iE 'warning|error|invalid|unknown' /run/iasl | sed "s/^/LAB-IASL $table /"
done
echo "LAB-RESULT tables=$(ls *.dsl | tr '\n' ' ')"
# Messages of priority 4 (warning) and worse, without times.
dmesg -r | sed -n 's/^<[0-4]>\[[^]]*\] /LAB-DMESG /p'
