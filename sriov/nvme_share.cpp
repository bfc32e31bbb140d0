// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/nvme_share.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm::sriov {

namespace {

std::string_view words(NvmeResource type) {
  return type == NvmeResource::queues ? "flexible queues" : "flexible interrupts";
}

// What a secondary controller needs to go online: an admin and an I/O queue, and an interrupt.
unsigned least(NvmeResource type) { return type == NvmeResource::queues ? 2 : 1; }

Error setting_error(std::string text) { return Error::make(Errc::invalid, std::move(text)).coded("vf.setting"); }

Result<std::vector<std::uint32_t>> parse_list(std::string_view text) {
  std::vector<std::uint32_t> numbers;
  for (;;) {
    const auto comma = std::min(text.find(','), text.size());
    const auto number = TRY(parse_decimal<std::uint32_t>(text.substr(0, comma)));
    numbers.push_back(number);
    if (comma == text.size()) return numbers;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<NvmeWish> parse_nvme_wish(const Settings& settings) {
  constexpr unsigned kMost{0xffff};
  NvmeWish wish;
  for (const auto& [key, value] : settings) {
    const auto setting = fmt::format("--set {}", key);
    if (key == "vq") wish.queues = TRY_IN(parse_decimal<unsigned>(value, kMost), setting);
    if (key == "vi") wish.interrupts = TRY_IN(parse_decimal<unsigned>(value, kMost), setting);
    if (key == "namespaces") wish.namespaces = TRY_IN(parse_list(value), setting);
  }
  return wish;
}

std::string_view key_of(NvmeResource type) { return type == NvmeResource::queues ? "vq" : "vi"; }

Result<unsigned> share_of(const NvmeFlexible& have, NvmeResource type, const NvmeWish& wish, unsigned count) {
  const auto& wanted = type == NvmeResource::queues ? wish.queues : wish.interrupts;
  if (have.total == 0 && !wanted) return 0U;
  const auto each = have.total / count;
  const auto even = std::min(have.most, each - each % have.granularity);
  const auto share = wanted.value_or(even);
  if (share < least(type)) {
    return fail(setting_error(fmt::format("{} {} for each of {} VFs are too few, each needs {}; the drive has {}",
                                          share, words(type), count, least(type), have.total))
                    .advise(wanted ? fmt::format("--set {}={}", key_of(type), least(type)) : "make fewer VFs"));
  }
  if (share > have.most || share > each || share % have.granularity != 0) {
    return fail(
        setting_error(fmt::format("{} {} for each of {} VFs cannot be had: the drive has {}, at most {} for one, "
                                  "in multiples of {}",
                                  share, words(type), count, have.total, have.most, have.granularity))
            .advise(fmt::format("--set {}={}", key_of(type), even)));
  }
  return share;
}

unsigned held_by(const std::vector<NvmeSecondary>& list, NvmeResource type, unsigned count) {
  unsigned held{};
  for (const auto& each : list) {
    if (each.vf_number >= 1 && each.vf_number <= count) held += each.of(type);
  }
  return held;
}

Result<unsigned> primary_keeps(const NvmeFlexible& have, NvmeResource type, unsigned held, unsigned wanted) {
  const auto available = have.free() + held;
  if (wanted <= available) return have.of_primary;
  const auto missing = wanted - available;
  if (missing <= have.of_primary) return have.of_primary - missing;
  return fail(
      setting_error(fmt::format("{} {} are wanted, {} of {} can be had: controllers of other VFs hold {}", wanted,
                                words(type), available + have.of_primary, have.total, have.of_secondaries - held)));
}

}  // namespace pcivm::sriov
