// SPDX-License-Identifier: GPL-2.0-or-later
#include "sriov/gpu_layout.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parse.hpp"
#include "base/text.hpp"
#include "vfio/binding_plan.hpp"

namespace pcivm::sriov {

namespace {

constexpr std::string_view kQuantum{"time slice of each VF, 0 = no limit: 20ms"};
constexpr std::string_view kTimeout{"time to leave the engine after its slice, 0 = no limit: 40ms, 40000us"};

std::vector<std::string> there(const SysRoot& root, std::vector<std::string> directories) {
  std::erase_if(directories, [&](const auto& path) { return !root.exists(path); });
  return directories;
}

// "gt", "gt0", "gt1" below a VF's directory, or a VF's directory below each "gt0".
std::vector<std::string> gts(const SysRoot& root, const std::string& base, std::string_view below = {}) {
  std::vector<std::string> found;
  for (const auto& name : root.list(base).value_or(std::vector<std::string>{})) {
    if (!name.starts_with("gt")) continue;
    const bool numbered = std::ranges::all_of(name.substr(2), [](char c) { return c >= '0' && c <= '9'; });
    if (numbered) found.push_back(fmt::format("{}/{}{}", base, name, below));
  }
  return there(root, std::move(found));
}

// Documentation/ABI/testing/sysfs-driver-intel-xe-sriov: VFs are counted from 1 there.
std::vector<std::string> xe_directories(const SysRoot& root, Bdf physical, unsigned index) {
  return there(root, {fmt::format("{}/sriov_admin/vf{}/profile", vfio::directory_of(physical), index + 1)});
}

// Kernels before 6.19 have the same in debugfs, by GT (drivers/gpu/drm/xe/xe_gt_sriov_pf_debugfs.c).
std::vector<std::string> xe_debug_directories(const SysRoot& root, Bdf physical, unsigned index) {
  if (root.exists(vfio::directory_of(physical) + "/sriov_admin")) return {};
  return gts(root, fmt::format("/sys/kernel/debug/dri/{}", physical.to_string()), fmt::format("/vf{}", index + 1));
}

// Out-of-tree i915: "iov", in Intel's data-centre tree "prelim_iov", below the DRM card.
std::string i915_iov(const SysRoot& root, Bdf physical) {
  const auto drm = vfio::directory_of(physical) + "/drm";
  for (const auto& card : root.list(drm).value_or(std::vector<std::string>{})) {
    for (const auto* name : {"iov", "prelim_iov"}) {
      auto path = fmt::format("{}/{}/{}", drm, card, name);
      if (card.starts_with("card") && root.exists(path)) return path;
    }
  }
  return {};
}

std::vector<std::string> i915_directories(const SysRoot& root, Bdf physical, unsigned index) {
  const auto iov = i915_iov(root, physical);
  if (iov.empty()) return {};
  return gts(root, fmt::format("{}/vf{}", iov, index + 1));
}

std::string i915_automatic(const SysRoot& root, Bdf physical) {
  const auto file = i915_iov(root, physical) + "/pf/auto_provisioning";
  return root.exists(file) ? file : std::string{};
}

std::vector<std::string> nvidia_directories(const SysRoot& root, Bdf physical, unsigned index) {
  const auto vf = Bdf::parse(root.link_name(fmt::format("{}/virtfn{}", vfio::directory_of(physical), index)));
  if (!vf) return {};
  return there(root, {vfio::directory_of(*vf) + "/nvidia"});
}

std::string_view without(std::string_view text, std::string_view suffix) {
  if (text.ends_with(suffix)) text.remove_suffix(suffix.size());
  return text;
}

Result<std::uint64_t> parse_time(std::string_view text, GpuUnit unit) {
  if (unit == GpuUnit::milliseconds) return parse_decimal<std::uint64_t>(without(text, "ms"));
  if (!text.ends_with("ms")) return parse_decimal<std::uint64_t>(without(text, "us"));
  const auto milliseconds = TRY(parse_decimal<std::uint64_t>(without(text, "ms"), 1'000'000));
  return milliseconds * 1000;
}

}  // namespace

const std::vector<GpuLayout>& gpu_layouts() {
  static const std::vector<GpuFile> timing{
      {.key = "exec-quantum", .meaning = kQuantum, .file = "exec_quantum_ms", .unit = GpuUnit::milliseconds},
      {.key = "preempt-timeout", .meaning = kTimeout, .file = "preempt_timeout_us", .unit = GpuUnit::microseconds}};
  static const auto with_timing = [](std::vector<GpuFile> files) {
    files.insert(files.end(), timing.begin(), timing.end());
    return files;
  };
  static const GpuFile ggtt{.key = "ggtt", .meaning = "address space of each VF: 256MiB", .file = "ggtt_quota"};
  static const GpuFile contexts{
      .key = "contexts", .meaning = "contexts of each VF", .file = "contexts_quota", .unit = GpuUnit::count};
  static const GpuFile doorbells{
      .key = "doorbells", .meaning = "doorbells of each VF", .file = "doorbells_quota", .unit = GpuUnit::count};
  static const GpuFile lmem{.key = "vram", .meaning = "memory of each VF: 2GiB", .file = "lmem_quota"};
  static const std::vector<GpuLayout> layouts{
      {.name = "xe",
       .driver = "xe",
       .files = with_timing({{.key = "vram", .meaning = "memory of each VF: 2GiB", .file = "vram_quota"},
                             {.key = "priority",
                              .meaning = "of the PF and all VFs: low or normal",
                              .file = "sched_priority",
                              .unit = GpuUnit::word,
                              .words = {"low", "normal"},
                              .bulk_file = "/sriov_admin/.bulk_profile/sched_priority"}}),
       .directories = xe_directories},
      {.name = "xe-debugfs",
       .driver = "xe",
       .files = with_timing({lmem, ggtt, contexts, doorbells}),
       .directories = xe_debug_directories},
      {.name = "i915",
       .driver = "i915",
       .files = with_timing({lmem, ggtt, contexts, doorbells}),
       .directories = i915_directories,
       .automatic = i915_automatic},
      {.name = "nvidia",
       .driver = "nvidia",
       .files = {{.key = "type",
                  .meaning = "vGPU type of each VF, a number or a name of its creatable_vgpu_types",
                  .file = "current_vgpu_type",
                  .unit = GpuUnit::vgpu_type}},
       .directories = nvidia_directories,
       .after_driver = true}};
  return layouts;
}

Result<std::string> parse_gpu_value(const GpuFile& file, std::string_view text) {
  switch (file.unit) {
    case GpuUnit::bytes: {
      // "2GiB" and "2GB" are read as "2G": memory comes in powers of two only.
      const auto bytes = TRY(parse_size(without(without(text, "B"), "i")));
      return fmt::to_string(bytes);
    }
    case GpuUnit::milliseconds:
    case GpuUnit::microseconds: {
      const auto time = TRY(parse_time(text, file.unit));
      return fmt::to_string(time);
    }
    case GpuUnit::count: {
      const auto count = TRY(parse_decimal<std::uint32_t>(text));
      return fmt::to_string(count);
    }
    case GpuUnit::word:
      if (std::ranges::find(file.words, text) != file.words.end()) return std::string{text};
      return fail(Errc::invalid, fmt::format("'{}' is none of {}", text, fmt::join(file.words, ", ")));
    case GpuUnit::vgpu_type: return std::string{text};
  }
  return fail(Errc::internal, fmt::format("unknown unit of '{}'", file.key));
}

std::string gpu_value_of(std::string_view content) {
  const auto open = content.find('[');
  const auto close = content.find(']');
  if (open < close && close != std::string_view::npos) return std::string{content.substr(open + 1, close - open - 1)};
  const auto text = trimmed(content);
  return std::string{text.substr(0, text.find_first_of(" \t\n"))};
}

Result<std::string> find_vgpu_type(std::string_view list, std::string_view wanted) {
  std::string known;
  for (auto rest = list; !rest.empty();) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto colon = std::min(line.find(':'), line.size());
    const auto id = trimmed(line.substr(0, colon));
    const auto name = trimmed(line.substr(std::min(colon + 1, line.size())));
    if (!parse_decimal<std::uint32_t>(id)) continue;  // the title line
    if (wanted == id || wanted == name || fmt::format("NVIDIA {}", wanted) == name) return std::string{id};
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", id, name);
  }
  return fail(Error::make(Errc::invalid, fmt::format("no vGPU of type '{}' can be made now; there is {}", wanted,
                                                     known.empty() ? "none" : known))
                  .coded("vf.setting"));
}

}  // namespace pcivm::sriov
