// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/cpuid.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "vmm/cpu_features.hpp"

namespace pcivm::vmm {
namespace {

kvm_cpuid_entry2 entry(std::uint32_t leaf, std::uint32_t index, std::uint32_t eax, std::uint32_t ebx, std::uint32_t ecx,
                       std::uint32_t edx) {
  kvm_cpuid_entry2 made{};
  made.function = leaf;
  made.index = index;
  made.eax = eax;
  made.ebx = ebx;
  made.ecx = ecx;
  made.edx = edx;
  return made;
}

CpuidTable host() {
  return {entry(0, 0, 0x16, 0, 0, 0),
          entry(1, 0, 0, 0x07100800, 1U << 5U, 1U << 28U),
          entry(4, 0, 0x1c004121, 0, 0, 0),
          entry(4, 3, 0x1c03c163, 0, 0, 0),
          entry(0xb, 0, 1, 2, 0x100, 7),
          entry(0x15, 0, 2, 3, 0, 0),
          entry(0x40000000, 0, 0x40000001, 0, 0, 0),
          entry(0x80000001, 0, 0, 0, 1U << 2U, 0),
          entry(0x80000008, 0, 48, 0, 0x7007, 0),
          entry(0x8000000a, 0, 1, 0x10, 0, 0),
          entry(0x8000001e, 0, 9, 0x104, 0x300, 0)};
}

kvm_cpuid_entry2 at(const CpuidTable& table, std::uint32_t leaf, std::uint32_t index = 0) {
  const auto found =
      std::ranges::find_if(table, [&](const auto& one) { return one.function == leaf && one.index == index; });
  return found == table.end() ? kvm_cpuid_entry2{} : *found;
}

bool has(const CpuidTable& table, std::uint32_t leaf) {
  return std::ranges::any_of(table, [&](const auto& one) { return one.function == leaf; });
}

TEST(Cpuid, HidesNestedVirtualization) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 1}});
  EXPECT_EQ(at(table, 1).ecx & 1U << 5U, 0U);
  EXPECT_EQ(at(table, 0x80000001).ecx & 1U << 2U, 0U);
  EXPECT_FALSE(has(table, 0x8000000a));
}

TEST(Cpuid, SaysThatThereIsAHypervisorWithADeadlineTimer) {
  EXPECT_NE(at(cpuid_of_vm(host(), {.cpus = {.cores = 1}}), 1).ecx & 1U << 31U, 0U);
  EXPECT_EQ(at(cpuid_of_vm(host(), {.cpus = {.cores = 1}}), 1).ecx & 1U << 24U, 0U);
  EXPECT_NE(
      at(cpuid_of_vm(host(), {.cpus = {.cores = 1}, .tsc_khz = 0, .tsc_deadline_timer = true}), 1).ecx & 1U << 24U, 0U);
}

TEST(Cpuid, CountsTheCpusOfTheVmNotOfTheHost) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 6}});
  EXPECT_EQ(at(table, 1).ebx >> 16U & 0xffU, 6U);
  EXPECT_EQ(at(table, 0xb, 1).ebx, 6U);
  EXPECT_EQ(at(table, 0xb, 1).eax, 3U);
  EXPECT_EQ(at(table, 0xb, 2).ebx, 0U);
  EXPECT_EQ(at(table, 0x80000008).ecx & 0xffU, 5U);
}

TEST(Cpuid, SharesOnlyTheLastLevelCache) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 4}});
  EXPECT_EQ(at(table, 4, 0).eax >> 14U & 0xfffU, 0U);
  EXPECT_EQ(at(table, 4, 3).eax >> 14U & 0xfffU, 3U);
  EXPECT_EQ(at(table, 4, 3).eax >> 26U, 3U);
}

TEST(Cpuid, GivesEachCpuItsApicId) {
  const auto own = cpuid_of_vcpu(cpuid_of_vm(host(), {.cpus = {.cores = 4}}), {.cores = 4}, 3);
  EXPECT_EQ(at(own, 1).ebx >> 24U, 3U);
  EXPECT_EQ(at(own, 0xb, 0).edx, 3U);
  EXPECT_EQ(at(own, 0xb, 1).edx, 3U);
  EXPECT_EQ(at(own, 0x8000001e).eax, 3U);
}

TEST(Cpuid, TellsOfSocketsCoresAndThreads) {
  constexpr CpuTopology kCpus{.sockets = 2, .cores = 3, .threads = 2};
  const auto table = cpuid_of_vm(host(), {.cpus = kCpus});
  EXPECT_EQ(at(table, 0xb, 0).eax, 1U);
  EXPECT_EQ(at(table, 0xb, 0).ebx, 2U);
  EXPECT_EQ(at(table, 0xb, 1).eax, 3U);
  EXPECT_EQ(at(table, 0xb, 1).ebx, 6U);
  EXPECT_EQ(at(table, 4, 0).eax >> 14U & 0xfffU, 1U);
  EXPECT_EQ(at(table, 4, 3).eax >> 14U & 0xfffU, 5U);
  // The second thread of the third core of the second socket.
  const auto own = cpuid_of_vcpu(table, kCpus, 11);
  EXPECT_EQ(at(own, 0xb, 0).edx, 0b1'10'1U);
  EXPECT_EQ(at(own, 0x8000001e).ebx, 0x102U);
  EXPECT_EQ(at(own, 0x8000001e).ecx, 1U);
}

TEST(Cpuid, TheCountOfCoresDoesNotSpillOutOfItsField) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 255}});
  EXPECT_EQ(at(table, 4, 3).eax >> 26U, 63U);
  EXPECT_EQ(at(table, 1).ebx >> 16U & 0xffU, 255U);
}

TEST(CpuFeatures, RemovingOneRemovesWhatNeedsIt) {
  CpuidTable table{entry(1, 0, 0, 0, ~0U, ~0U), entry(7, 0, 0, ~0U, ~0U, ~0U)};
  remove_feature(table, *find_cpu_feature("avx"));
  EXPECT_EQ(at(table, 1).ecx & 1U << 28U, 0U);
  EXPECT_EQ(at(table, 1).ecx & 1U << 12U, 0U) << "fma";
  EXPECT_EQ(at(table, 7).ebx & 1U << 16U, 0U) << "avx512f";
  EXPECT_EQ(at(table, 7).ebx & 1U << 30U, 0U) << "avx512bw";
  EXPECT_NE(at(table, 1).ecx & 1U << 25U, 0U) << "aes stays";
  EXPECT_EQ(find_cpu_feature("avx51"), nullptr);
}

TEST(Cpuid, TellsTheTscFrequencyExactly) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 1}, .tsc_khz = 2'345'678});
  const auto crystal = at(table, 0x15);
  EXPECT_EQ(std::uint64_t{crystal.ecx} * crystal.ebx / crystal.eax, 2'345'678'000U);
  EXPECT_EQ(at(table, 0x40000010).eax, 2'345'678U);
  EXPECT_EQ(at(table, 0x40000000).eax, 0x40000010U);
}

TEST(Cpuid, LeavesFrequenciesAloneWhenTheyAreUnknown) {
  const auto table = cpuid_of_vm(host(), {.cpus = {.cores = 1}});
  EXPECT_EQ(at(table, 0x15).ebx, 3U);
  EXPECT_FALSE(has(table, 0x40000010));
}

}  // namespace
}  // namespace pcivm::vmm
