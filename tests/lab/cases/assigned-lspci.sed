# The differences between lspci on the host and in the guest that are designed: docs/vm.md, "What a guest sees of a
# device". Nothing else may differ.

# Its address, and what only the one who owns the host's buses has.
s/^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] //
/^\t(Physical Slot|IOMMU group|NUMA node): /d

# lspci looks at the other end's registers of a link only in functions that are device 0 of their bus.
/^\t\tLnkCap2:/d
/^\t\tLnkCtl2:/,/^\t\t\t Compliance Preset/d

# What the system has switched on.
/^\tControl: / s/(I\/O|Mem|BusMaster|SERR|DisINTx)[+-]/\1/g
/^\tLatency: /d

# Where things lie, and which interrupt it is.
s/^(\tInterrupt: pin [A-D]) routed to IRQ [0-9]+/\1/
s/^(\tRegion [0-5]: (Memory|I\/O ports)) at [0-9a-f]+/\1/
/^\tRegion / s/ \[(virtual|disabled)\]//g

# Hidden.
/^\tExpansion ROM at /d
/^\tCapabilities: \[[0-9a-f]+ v1\] Alternative Routing-ID/,/^\t\tARICtl:/d
/^\tCapabilities: \[[0-9a-f]+ v1\] Single Root I\/O/,/^\t\tVF Migration:/d
