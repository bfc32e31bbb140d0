# SPDX-License-Identifier: GPL-2.0-or-later
# `device show` of every function says what lspci and ip say, field by field.
# topologies: vtd amdvi
# deadline: 120
# needs: pcivm
. /lab/cases/lib.sh

# What `lspci -vvvnn` tells of a function, a line for each fact.
by_lspci() {
    sed -nE '
        1{
            h
            s/.*\(rev ([0-9a-f]{2})\).*/revision \1/p
            g
            s/^[^ ]+ .* \[([0-9a-f]{4})\]: .*\[([0-9a-f]{4}:[0-9a-f]{4})\].*/class \1\nid \2/p
        }
        s/^\tSubsystem: .*\[([0-9a-f]{4}:[0-9a-f]{4})\].*/subsystem \1/p
        s/^\tPhysical Slot: (.*)/slot \1/p
        s/^\tNUMA node: (.*)/numa \1/p
        s/^\tIOMMU group: (.*)/group \1/p
        s/^\tKernel driver in use: (.*)/driver \1/p
        s/^\tRegion ([0-9]): Memory at 0*([0-9a-f]+) \((64|32)-bit, (non-)?prefetchable\).* \[size=(.*)\]/bar \1 memory \2 \3 \4prefetchable \5/p
        s/^\tRegion ([0-9]): I\/O ports at 0*([0-9a-f]+).* \[size=(.*)\]/bar \1 io \2 \3/p
        s/^\tCapabilities: \[[^]]*\] MSI: Enable. Count=[0-9]+\/([0-9]+).*/msi \1/p
        s/^\tCapabilities: \[[^]]*\] MSI-X: Enable. Count=([0-9]+).*/msix \1/p
        s/^\t\tVector table: BAR=([0-9]) offset=0*([0-9a-f]+)/msix-table \1 \2/p
        s/^\t\tPBA: BAR=([0-9]) offset=0*([0-9a-f]+)/msix-pba \1 \2/p
        s/^\t\tStatus: (D[0-3]).* NoSoftRst.*/power \1/p
        s/^\tCapabilities: \[[^]]*\] Express( \(v[0-9]\))? ([A-Za-z\/ -]+[A-Za-z])(,| \(|$).*/express \2/p
        s/^\t\tLnkCap:.*Speed ([0-9.]+GT\/s), Width x([0-9]+).*/link-able \1 \2/p
        s/^\t\tLnkSta:.*Speed ([0-9.]+GT\/s)( \([a-z]+\))?, Width x([0-9]+).*/link-now \1 \3/p
        s/^\tCapabilities: \[[^]]*\] Device Serial Number ([0-9a-f-]+).*/serial \1/p
        s/^\t\tInitial VFs: [0-9]+, Total VFs: ([0-9]+), Number of VFs: ([0-9]+).*/vfs \2 of \1/p
        s/^\t\tVF offset: ([0-9]+), stride: ([0-9]+), Device ID: ([0-9a-f]{4})/vf \1 \2 \3/p
    ' <<<"$1" | sort -u
}

# The same of a document.
by_pcivm() {
    jq -r '
        def short: sub("^0x"; "");
        def size: if . % 1073741824 == 0 then "\(. / 1073741824)G" elif . % 1048576 == 0 then "\(. / 1048576)M"
                  elif . % 1024 == 0 then "\(. / 1024)K" else tostring end;
        def hexadecimal: if . < 16 then "0123456789abcdef"[.:. + 1] else (. / 16 | floor | hexadecimal) + (. % 16 | hexadecimal) end;
        def speed: sub(" GT/s PCIe"; "GT/s") | sub("\\.0GT"; "GT");
        {"endpoint": "Endpoint", "legacy endpoint": "Legacy Endpoint", "root port": "Root Port", "upstream port": "Upstream Port",
         "downstream port": "Downstream Port", "bridge to conventional PCI": "PCI-Express to PCI/PCI-X Bridge",
         "integrated endpoint": "Root Complex Integrated Endpoint"} as $types |
        "class \(.class[0:4])", "id \(.vendor):\(.device)",
        (select(.revision != "00") | "revision \(.revision)"),
        (select(.subsystem != "0000:0000") | "subsystem \(.subsystem)"),
        (select(.slot) | "slot \(.slot)"), (select(.numaNode) | "numa \(.numaNode)"),
        (select(.iommuGroup) | "group \(.iommuGroup)"), (select(.driver) | "driver \(.driver)"),
        (.bars[] | select(.index < 6) |
            if .type == "io" then "bar \(.index) io \(.address | short) \(.size | size)"
            else "bar \(.index) memory \(.address | short) \(if .is64Bit then 64 else 32 end) \(if .prefetchable then "" else "non-" end)prefetchable \(.size | size)" end),
        (select(.msiVectors > 0) | "msi \(.msiVectors)"), (select(.msixVectors > 0) | "msix \(.msixVectors)"),
        (select(.msix) | .msix | "msix-table \(.tableBar) \(.tableOffset | hexadecimal)", "msix-pba \(.pbaBar) \(.pbaOffset | hexadecimal)"),
        (select(.pcieType) | "express \($types[.pcieType])"),
        (select(.link) | .link | "link-able \(.maxSpeed | speed) \(.maxWidth)", "link-now \(.speed | speed) \(.width)"),
        (select(.serial) | "serial \(.serial)"),
        (select(.sriov) | .sriov | "vfs \(.numVfs) of \(.hardwareVfs)", "vf \(.vfOffset) \(.vfStride) \(.vfDevice)")
    ' <<<"$1" | sort -u
}

igb=$(bdf igb)
kernel_vfs "$igb" 2
netdev=$(netdev_of "$(bdf e1000e)")
defer ip link set "$netdev" address "$(<"/sys/class/net/$netdev/address")"
ip link set "$netdev" address 02:00:00:00:77:01

checked=0
for function in $(ls "$pci"); do
    expect_exit 0 pcivm device show "$function" -o json
    document
    shown=$stdout
    wanted=$(by_lspci "$(lspci -D -vvvnn -s "$function")")
    power=$(sed -n 's/^power //p' <<<"$wanted")
    wanted=$(grep -v '^power' <<<"$wanted")
    expect_eq "record of $function" "$(by_pcivm "$shown")" "$wanted"
    [[ -z $power ]] || expect_eq "power of $function" "$(jq -r .powerState <<<"$shown")" "$(sed 's/D3/D3hot/' <<<"$power")"

    # Raw bytes: 08 revision, 09 to 0b class, 0e header type.
    bytes=$(lspci -D -xxxx -s "$function" | sed -n 's/^00: //p')
    expect_eq "class and revision of $function" "$(jq -r '.revision + .class' <<<"$shown")" \
        "$(awk '{print $9 $12 $11 $10}' <<<"$bytes")"
    expect_eq "$function is a bridge" "$(jq -r .isBridge <<<"$shown")" \
        "$(awk '{print $15 ~ /[08]1/ ? "true" : "false"}' <<<"$bytes")"
    checked=$((checked + 1))
done
((checked >= 9)) || fail "only $checked functions were compared"

interfaces=0
for function in $(ls "$pci"); do
    for netdev in $(ls "$pci/$function/net" 2>/dev/null); do
        expect_exit 0 pcivm device show "$netdev" -o json
        found=$(json ".details.netdevs[] | select(.name == \"$netdev\") | \"\(.mac) \(.permanentMac) \(.mtu) \(.state)\"")
        wanted=$(ip -d -j link show dev "$netdev" | jq -r '.[0] | "\(.address) \(.permaddr // .address) \(.mtu) \(.operstate | ascii_downcase)"')
        expect_eq "interface $netdev" "$found" "$wanted"
        queues=$(json '.details.netdevs[0].transmitQueues')
        ((queues >= 1 && queues <= $(ip -d -j link show dev "$netdev" | jq '.[0].num_tx_queues'))) || fail "$netdev has $queues queues"
        interfaces=$((interfaces + 1))
    done
done
((interfaces >= 2)) || fail "only $interfaces interfaces were compared"

expect_exit 0 pcivm device show "$(bdf nvme)" -o json
expect_eq "disk" "$(json '.details.blockDevices[0] | "\(.name) \(.size)"')" "nvme0n1 $(($(<"/sys/class/block/nvme0n1/size") * 512))"
expect_eq "drive" "$(json '.details.nvme[0] | "\(.name) \(.serial) \(.model)"')" \
    "nvme0 $(sed 's/ *$//' /sys/class/nvme/nvme0/serial) $(sed 's/ *$//' /sys/class/nvme/nvme0/model)"

# The shared group is explained by the bridge that it is behind; not every host has one.
[[ -n $(lspci -n -d 1b36:000e) ]] || exit 0
shared=$(bdf shared)
expect_exit 0 pcivm group show "$shared" -o json
document
expect_match "reasons" "$(json '.sharing[].text')" "$(bdf bridge) is a bridge to conventional PCI"
