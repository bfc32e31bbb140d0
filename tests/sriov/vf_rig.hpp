// SPDX-License-Identifier: GPL-2.0-or-later
// One PF with seven VFs to make, in a fake kernel, and what tests of its transactions do with it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "sriov/vf_set.hpp"
#include "tests/fakes/fake_kernel.hpp"
#include "tests/fakes/fake_vf_port.hpp"
#include "tests/support/result_matchers.hpp"
#include "vfio/journal.hpp"

namespace pcivm::test {

inline const std::string kPf{"0000:01:00.0"};

class VfRig : public testing::Test {
 protected:
  VfRig() {
    kernel_.add_pf(kPf, 7);
    port_.lifetime = [this] { return kernel_.lifetimes(); };
    host_.users_of = [this](const SysRoot&, Bdf function) -> Result<std::vector<iommu::InUse>> {
      const auto found = users_.find(function.to_string());
      return found == users_.end() ? std::vector<iommu::InUse>{} : found->second;
    };
  }
  static Bdf bdf(const std::string& text) { return Bdf::parse(text).value(); }
  static std::string vf(unsigned index) { return FakeKernel::vf_name(kPf, index); }
  vfio::HostLock lock() { return vfio::HostLock::take(kernel_.root(), std::chrono::milliseconds{0}).value(); }
  Result<sriov::Created> create(unsigned count, const std::string& bind = "vfio-pci") {
    return sriov::create(host_, lock(), {.physical = bdf(kPf), .targets = sriov::targets_for(count, bind)});
  }
  Result<bool> destroy() { return sriov::destroy(host_, lock(), {.physical = bdf(kPf)}); }
  Result<std::vector<vfio::Repair>> recover() { return sriov::recover(host_, lock(), &port_); }
  bool journal_empty() { return vfio::left_over(kernel_.root())->empty(); }
  void expect_untouched(int n = 0) {
    EXPECT_EQ(kernel_.at(kPf).num_vfs, 0U) << n;
    EXPECT_TRUE(kernel_.at(kPf).autoprobe) << n;
    EXPECT_TRUE(journal_empty()) << n;
  }
  void expect_all_bound(unsigned count, int n = 0) {
    ASSERT_EQ(kernel_.at(kPf).num_vfs, count) << n;
    for (unsigned index = 0; index < count; ++index) EXPECT_EQ(kernel_.at(vf(index)).driver, "vfio-pci") << n;
    EXPECT_TRUE(journal_empty()) << n;
  }

  FakeKernel kernel_;
  std::map<std::string, std::vector<iommu::InUse>> users_;
  vfio::Host host_{.root = kernel_.root(), .users_of = {}};
  FakeVfPort port_{7};
};

}  // namespace pcivm::test
