// SPDX-License-Identifier: GPL-2.0-or-later
// What one kind of PF needs around sriov_numvfs beyond what every PF does: NVMe controllers their resources, GPUs their
// profiles. An adapter only says which named values are to be set and how one is read and written; recording, reading
// back, undoing and repairing are the same for all (adapter_trail.hpp).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "vfio/binding_host.hpp"

namespace pcivm::sriov {

/// One value of the hardware or its driver. Names are the adapter's own, without '=': "sc3.vq", a sysfs path.
struct Assignment {
  std::string name;
  std::string value;
  bool operator==(const Assignment&) const = default;
};

/// What the operator gave by --set KEY=VALUE.
using Settings = std::map<std::string, std::string, std::less<>>;

/// What a listing shows of one VF, in this order. Numbers are decimal, of the unit that the key names.
using Profile = std::vector<Assignment>;

/// All calls only read, except write(). They fail as the kernel does; Errc::invalid for settings that cannot be.
class PfAdapter {
 public:
  PfAdapter() = default;
  PfAdapter(const PfAdapter&) = delete;
  PfAdapter& operator=(const PfAdapter&) = delete;
  virtual ~PfAdapter() = default;
  /// What the PF needs before `count` VFs are made. Also the check of all settings: nothing is touched before it.
  [[nodiscard]] virtual Result<std::vector<Assignment>> before_create(unsigned count) = 0;
  /// What VF `index` needs. It exists, its attributes are set, it has no driver yet.
  [[nodiscard]] virtual Result<std::vector<Assignment>> provision(unsigned index) = 0;
  /// What must be so before the VFs may vanish, whoever made them. They have no driver any more.
  [[nodiscard]] virtual Result<std::vector<Assignment>> before_destroy() = 0;
  /// Errc::not_found when what the name belongs to is gone; there is nothing to put back then.
  [[nodiscard]] virtual Result<std::string> read(const std::string& name) = 0;
  /// The effect is read back by the caller.
  [[nodiscard]] virtual Result<void> write(const Assignment& wanted) = 0;
  /// A write of this value may not show yet, so putting it back always writes.
  [[nodiscard]] virtual bool latent(const std::string& /*name*/) const { return false; }
  [[nodiscard]] virtual Result<Profile> profile(unsigned index) = 0;
};

struct AdapterRequest {
  const vfio::Host& host;
  Bdf physical;
  Settings settings{};
  std::vector<std::string> force{};  ///< kinds of use that are no obstacle
};

struct Setting {
  std::string_view key;
  std::string_view meaning;  ///< with the form of its value
};

struct AdapterKind {
  std::string_view name;  ///< "nvme", as in records and in JSON
  std::vector<Setting> settings;
  std::function<bool(const SysRoot&, Bdf physical)> matches;
  /// Errc::invalid for a value that cannot be read. The request's host outlives the adapter.
  std::function<Result<std::unique_ptr<PfAdapter>>(const AdapterRequest&)> make;
  bool after_driver{};  ///< provision() comes after a VF has its driver, and before_destroy() while it has it
};

/// Every kind that pcivm knows, in the order in which they are tried.
[[nodiscard]] std::span<const AdapterKind> builtin_adapters();

/// Null: a PF that needs none, as every network adapter.
[[nodiscard]] const AdapterKind* adapter_for(const SysRoot& root, std::span<const AdapterKind> kinds, Bdf physical);

/// For reading what its VFs have; null when the PF has no adapter, or it cannot be asked now (no driver, not root).
struct AdapterReader {
  std::string_view kind;
  std::unique_ptr<PfAdapter> adapter;
};
[[nodiscard]] AdapterReader reader_for(const vfio::Host& host, std::span<const AdapterKind> kinds, Bdf physical);

/// Errc::invalid, naming the nearest known one, for a key that `kind` does not have; `kind` may be null.
[[nodiscard]] Result<void> check_settings(const AdapterKind* kind, Bdf physical, const Settings& settings);

/// "vq=2, vi=1"
[[nodiscard]] std::string to_string(const Settings& settings);

}  // namespace pcivm::sriov
