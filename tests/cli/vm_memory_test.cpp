// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_memory.hpp"

#include <gmock/gmock.h>

#include "tests/support/result_matchers.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::cli {
namespace {

using test::FailsWith;
using test::IsOk;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMemory = 64 * kMiB;

class Backing : public testing::Test {
 protected:
  Backing() {
    pool("/sys/kernel/mm/hugepages", 32);
    tree_.file("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0\n");
    tree_.file("/sys/devices/system/node/has_memory", "0-1\n");
    pool("/sys/devices/system/node/node0/hugepages", 31);
    pool("/sys/devices/system/node/node1/hugepages", 1);
    request_.memory = "64M";
  }
  void pool(const std::string& place, int free) {
    tree_.file(place + "/hugepages-2048kB/free_hugepages", std::to_string(free) + "\n");
  }
  Result<vmm::RamBacking> check(std::uint64_t memory = kMemory) { return check_backing(root_, request_, memory); }

  test::TempRoot tree_;
  SysRoot root_ = tree_.root();
  VmRequest request_;
};

TEST_F(Backing, IsOrdinaryMemoryUnlessAskedFor) {
  const auto backing = check();
  ASSERT_THAT(backing, IsOk());
  EXPECT_EQ(backing->huge_page, 0U);
  EXPECT_TRUE(backing->nodes.empty());
  EXPECT_FALSE(backing->populate);
}

TEST_F(Backing, IsOfHugePagesThatAreFree) {
  request_.hugepages = "2M";
  const auto backing = check();
  ASSERT_THAT(backing, IsOk());
  EXPECT_EQ(backing->huge_page, 2 * kMiB);
  EXPECT_THAT(check(kMemory + 2 * kMiB),
              FailsWith(Errc::kernel, HasSubstr("this host has 32 free pages of 2M, 33 wanted")));
}

TEST_F(Backing, CountsTheHugePagesOfItsNodes) {
  request_.hugepages = "2M";
  request_.numa = "0";
  EXPECT_THAT(check(), FailsWith(Errc::kernel, HasSubstr("node 0 has 31 free pages of 2M, 32 wanted")));
  request_.numa = "0,1";
  const auto backing = check();
  ASSERT_THAT(backing, IsOk());
  EXPECT_THAT(backing->nodes, ElementsAre(0, 1));
}

TEST_F(Backing, RefusesWhatTheHostHasNot) {
  request_.numa = "2";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("node 2 found, one with memory wanted: 0, 1")));
  request_.numa = "many";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("--numa")));
  request_.numa.clear();
  for (const auto* size : {"3M", "0", "4K"}) {
    request_.hugepages = size;
    EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("a size that this host has wanted: "))) << size;
  }
  request_.hugepages = "1G";
  EXPECT_THAT(check(), FailsWith(Errc::invalid, HasSubstr("a multiple of --hugepages 1G wanted")));
}

TEST_F(Backing, OfHugePagesHasNoBalloon) {
  request_.hugepages = "2M";
  request_.balloon = true;
  EXPECT_THAT(check(), FailsWith(Errc::refused, HasSubstr("balloon")));
}

TEST(Memory, MayGrowUpToItsMaximum) {
  EXPECT_EQ(check_memory("512M").value().blocks(), 0U);
  const auto wish = check_memory("512M,max=4G").value();
  EXPECT_EQ(wish.size, 512 * kMiB);
  EXPECT_EQ(wish.blocks(), 4 * kGiB - 512 * kMiB);
  EXPECT_EQ(check_memory("1G,max=1G").value().blocks(), 0U);
  EXPECT_THAT(check_memory("1G,max=512M"), FailsWith(Errc::invalid, HasSubstr("no less as max wanted")));
  EXPECT_THAT(check_memory("1G,"), FailsWith(Errc::invalid));
  EXPECT_THAT(check_memory("1G,most=2G"), FailsWith(Errc::invalid, HasSubstr("most")));
  EXPECT_THAT(check_memory("1G,max"), FailsWith(Errc::invalid));
  EXPECT_THAT(check_memory("1G,max=2047M"), FailsWith(Errc::invalid, HasSubstr("steps of 2 MiB")));
  EXPECT_THAT(check_memory("1G,max=2G,max=2G"), FailsWith(Errc::invalid));
  EXPECT_THAT(check_memory("1G,max=99999999T"), FailsWith(Errc::invalid));
  EXPECT_THAT(check_memory("1G,max=9218M"), FailsWith(Errc::invalid, HasSubstr("steps of 4 MiB")));
  EXPECT_THAT(check_size(wish, 256 * kMiB, "memory"), FailsWith(Errc::invalid, HasSubstr("512 MiB to 4096 MiB")));
  EXPECT_THAT(check_size(wish, 513 * kMiB, "memory"), FailsWith(Errc::invalid));
  EXPECT_THAT(check_size(wish, 4 * kGiB, "memory"), IsOk());
}

TEST(Memory, ThatComesAndGoesIsRefusedBesideWhatCannotFollow) {
  const auto wish = check_memory("512M,max=4G").value();
  const auto beside = [&](auto change) {
    VmRequest request;
    change(request);
    EXPECT_THAT(check_blocks(request, check_memory("512M").value()), IsOk());
    return check_blocks(request, wish);
  };
  EXPECT_THAT(beside([](VmRequest&) {}), IsOk());
  EXPECT_THAT(beside([](VmRequest& request) { request.devices = {"01:00.0"}; }), IsOk());
  EXPECT_THAT(beside([](VmRequest& request) { request.hugepages = "2M"; }),
              FailsWith(Errc::refused, HasSubstr("--hugepages")));
  EXPECT_THAT(beside([](VmRequest& request) { request.user_devices = {"socket=/x"}; }),
              FailsWith(Errc::refused, HasSubstr("--user-device")));
  EXPECT_THAT(beside([](VmRequest& request) { request.iommu = "virtio"; }),
              FailsWith(Errc::refused, HasSubstr("--iommu")));
}

}  // namespace
}  // namespace pcivm::cli
