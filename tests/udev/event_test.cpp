// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/event.hpp"

#include <gtest/gtest.h>

namespace pcivm::udev {
namespace {

// Recorded with `udevadm monitor --udev --property` while igb was loaded.
TEST(Event, OfADriverThatCameToAPf) {
  const auto event = event_of({{"ACTION", "bind"},
                               {"CURRENT_TAGS", ":systemd:"},
                               {"DEVPATH", "/devices/pci0000:00/0000:00:02.0/0000:01:00.0"},
                               {"DRIVER", "igb"},
                               {"ID_MODEL_FROM_DATABASE", "82576 Gigabit Network Connection"},
                               {"PCI_SLOT_NAME", "0000:01:00.0"},
                               {"PCIVM_MANAGED", "1"},
                               {"SEQNUM", "1822"},
                               {"SUBSYSTEM", "pci"},
                               {"SYSTEMD_WANTS", "pcivm-device@0000:01:00.0.service"}});
  EXPECT_EQ(event, (Event{.action = "bind",
                          .subsystem = "pci",
                          .name = "0000:01:00.0",
                          .function = Bdf{.bus = 1},
                          .driver = "igb",
                          .managed = true}));
}

TEST(Event, OfAnInterfaceBelongsToItsFunction) {
  const auto event = event_of({{"ACTION", "move"},
                               {"DEVPATH", "/devices/pci0000:00/0000:00:02.0/0000:01:00.0/net/eth2"},
                               {"INTERFACE", "eth2"},
                               {"SUBSYSTEM", "net"}});
  EXPECT_EQ(event.name, "eth2");
  EXPECT_EQ(event.function, (Bdf{.bus = 1}));
  EXPECT_FALSE(event.managed);
}

TEST(Event, WithoutAFunction) {
  const auto event = event_of({{"ACTION", "add"}, {"DEVPATH", "/devices/virtual/net/lo"}, {"SUBSYSTEM", "net"}});
  EXPECT_EQ(event.function, std::nullopt);
}

TEST(Event, OfNothingIsEmpty) { EXPECT_EQ(event_of({}), Event{}); }

TEST(Event, AnInterfaceNamedAsAnAddressIsNone) {
  EXPECT_EQ(function_in("/devices/pci0000:00/0000:00:02.0/0000:01:00.0/net/03:00.0"), (Bdf{.bus = 1}));
  EXPECT_EQ(function_in("/devices/virtual/net/03:00.0"), std::nullopt);
}

TEST(Event, DomainsOfMoreThanSixteenBits) {
  EXPECT_EQ(function_in("/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e1:00.0/nvme/nvme0"),
            (Bdf{.domain = 0x10000, .bus = 0xe1}));
}

}  // namespace
}  // namespace pcivm::udev
