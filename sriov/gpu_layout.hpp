// SPDX-License-Identifier: GPL-2.0-or-later
// Where the drivers of GPUs keep the profiles of VFs, as data: which setting is which file, and the directories in
// which a VF's files are. No hardware was at hand: docs/gpu.md says from which documentation each comes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"

namespace pcivm::sriov {

enum class GpuUnit : std::uint8_t {
  bytes,         ///< "2GiB", "512M", "1073741824"
  milliseconds,  ///< "20ms", "20"
  microseconds,  ///< "40000us", "40ms"
  count,         ///< "1024"
  word,          ///< one of GpuFile::words
  vgpu_type,     ///< a number, or a name of the driver's list
};

struct GpuFile {
  std::string_view key;      ///< of --set
  std::string_view meaning;  ///< with the form of its value
  std::string_view file;     ///< in each directory of a VF
  GpuUnit unit{};
  std::vector<std::string_view> words{};
  /// Set for all VFs and the PF together, by one file below the PF's directory: the driver cannot do it singly.
  std::string_view bulk_file{};
};

struct GpuLayout {
  std::string_view name;    ///< "xe"
  std::string_view driver;  ///< of the PF
  std::vector<GpuFile> files;
  /// The directories of VF `index` (counted from 0) that are there: one, or one for each GT. They are absolute.
  std::function<std::vector<std::string>(const SysRoot&, Bdf physical, unsigned index)> directories;
  /// A file that must read "0" before any of the quotas among `files` is written: the driver's own sharing. Absolute;
  /// empty = there is none.
  std::function<std::string(const SysRoot&, Bdf physical)> automatic{};
  /// The files belong to the VF and its driver: they are there only when both are.
  bool after_driver{};
};

[[nodiscard]] const std::vector<GpuLayout>& gpu_layouts();

/// The number or word that is written. Errc::invalid when `text` is not of the unit.
[[nodiscard]] Result<std::string> parse_gpu_value(const GpuFile& file, std::string_view text);
/// What a file says: the word in brackets of "low [normal] high", else the first word.
[[nodiscard]] std::string gpu_value_of(std::string_view content);
/// The number of a vGPU type by number or name in the driver's list ("1414 : NVIDIA H200X-1-18C"). Errc::invalid,
/// naming what there is.
[[nodiscard]] Result<std::string> find_vgpu_type(std::string_view list, std::string_view wanted);

}  // namespace pcivm::sriov
