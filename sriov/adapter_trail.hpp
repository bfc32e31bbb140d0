// SPDX-License-Identifier: GPL-2.0-or-later
// The values that an adapter set, with what they were before: journalled before each write, read back after it, put
// back in reverse. Kept in /run/pcivm/adapted/BDF from the creation of the VFs to their removal.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sriov/pf_adapter.hpp"
#include "vfio/journal.hpp"

namespace pcivm::sriov {

/// Of a PF without an adapter every call is a success that does nothing. Needs the host lock; outlived by the host.
class AdapterTrail final {
 public:
  /// For new VFs: the adapter that fits, its settings checked.
  [[nodiscard]] static Result<AdapterTrail> begin(const AdapterRequest& request, std::span<const AdapterKind> kinds);
  /// For VFs that are there: what was kept of their creation. VFs that somebody else made have an empty trail.
  [[nodiscard]] static Result<AdapterTrail> kept(const vfio::Host& host, std::span<const AdapterKind> kinds,
                                                 Bdf physical);
  /// Only the settings of that, as they were given; nothing is asked of the hardware. Empty when nothing was kept.
  [[nodiscard]] static Result<Settings> kept_settings(const SysRoot& root, Bdf physical);
  /// From the journal of a creation that was interrupted.
  [[nodiscard]] static Result<AdapterTrail> resume(const vfio::Host& host, std::span<const AdapterKind> kinds,
                                                   Bdf physical, const vfio::Record& record);

  /// What the PF would be set to; empty when it is so already. Checks all settings; touches nothing.
  [[nodiscard]] Result<std::vector<Assignment>> planned(unsigned count);
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] bool after_driver() const { return after_driver_; }

  /// Before sriov_numvfs is written.
  [[nodiscard]] Result<void> before_create(vfio::Journal& journal, unsigned count);
  /// A VF exists, has its attributes and no driver.
  [[nodiscard]] Result<void> provision(vfio::Journal& journal, unsigned index);
  /// The VFs have no driver any more and are about to vanish. `journal` may be null: during undo and repair.
  [[nodiscard]] Result<void> before_destroy(vfio::Journal* journal);
  /// They are gone: the PF's own values go back. What its users do not allow is told and left for the next removal.
  [[nodiscard]] Result<void> after_destroy(vfio::Journal* journal);
  /// Undoes before_destroy().
  [[nodiscard]] Result<void> give_back(vfio::Journal& journal);

  /// Remembers the trail for the removal, or forgets it, but for what after_destroy() left.
  [[nodiscard]] Result<void> keep() const;
  [[nodiscard]] Result<void> forget();

 private:
  enum class Part { pf, vf };
  using Former = std::vector<Assignment>;

  AdapterTrail(const vfio::Host& host, Bdf physical) : host_{&host}, physical_{physical} {}
  Result<void> take(const AdapterKind* kind, const AdapterRequest& request);
  void read_entries(const vfio::Record& record);
  void enter(vfio::Record& record) const;
  Result<void> set(vfio::Journal& journal, Part part, const std::vector<Assignment>& wanted);
  Result<void> put_back(vfio::Journal* journal, const Former& former, Former* redo);
  Result<void> write(vfio::Journal* journal, const Assignment& wanted);

  const vfio::Host* host_;
  Bdf physical_;
  std::string kind_{};  // empty = no adapter
  std::unique_ptr<PfAdapter> adapter_{};
  bool after_driver_{};
  Settings settings_{};
  Former pf_{};    // in the order of the writes
  Former vf_{};    // the same
  Former redo_{};  // what before_destroy() changed
  bool left_{};    // the PF is not as it was
};

}  // namespace pcivm::sriov
