// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/bar_plan.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kHighFrom = 16 * kMiB;
constexpr std::uint64_t kLargest = 1ULL << 48U;  // keeps the sums below from wrapping

struct Wish {
  std::size_t device;
  BarRequest bar;
  std::uint64_t size;
};

class Cursor {
 public:
  Cursor(std::uint64_t base, std::uint64_t length) : next_{base}, end_{base + length} {}
  // Sizes come in descending powers of two, so the cursor is aligned but for the start of the window.
  bool take(std::uint64_t size, std::uint64_t& address) {
    if (size > end_) return false;
    const auto start = align_up(next_, size);
    if (start > end_ - size) return false;
    address = start;
    next_ = start + size;
    return true;
  }

 private:
  std::uint64_t next_;
  std::uint64_t end_;
};

Result<std::vector<Wish>> wishes(std::span<const DeviceBars> devices) {
  std::vector<Wish> all;
  for (std::size_t device = 0; device < devices.size(); ++device) {
    for (const auto& bar : devices[device].bars) {
      if (!std::has_single_bit(bar.size) || bar.size > kLargest) {
        return fail(Errc::invalid, fmt::format("{}: BAR {} of {} bytes found, a power of two up to 2^48 wanted",
                                               devices[device].name, bar.index, bar.size));
      }
      all.push_back({device, bar, bar.io ? bar.size : std::max(bar.size, kPageSize)});
    }
  }
  std::ranges::stable_sort(all, std::ranges::greater{}, &Wish::size);
  return all;
}

}  // namespace

Result<BarPlan> plan_bars(std::span<const DeviceBars> devices) {
  Cursor ports{platform::port::kPciWindow, platform::port::kPciWindowLength};
  Cursor low{platform::kPciWindow32.base.value, platform::kPciWindow32.length};
  BarPlan plan;
  for (const auto& wish : TRY(wishes(devices))) {
    BarSite site{.device = wish.device, .bar = wish.bar.index, .high = false, .offset = 0};
    const bool prefers_high = !wish.bar.io && wish.bar.is_64bit && wish.size > kHighFrom;
    if (!prefers_high && (wish.bar.io ? ports : low).take(wish.size, site.offset)) {
      plan.sites.push_back(site);
    } else if (!wish.bar.io && wish.bar.is_64bit) {
      site.high = true;
      site.offset = align_up(plan.window64_length, wish.size);
      plan.window64_length = site.offset + wish.size;
      plan.window64_alignment = std::max(plan.window64_alignment, wish.size);
      plan.sites.push_back(site);
    } else {
      return fail(Errc::invalid,
                  fmt::format("{}: no room for BAR {} of {:#x} bytes in the {} window", devices[wish.device].name,
                              wish.bar.index, wish.bar.size, wish.bar.io ? "I/O" : "32-bit memory"));
    }
  }
  return plan;
}

}  // namespace pcivm::vmm
