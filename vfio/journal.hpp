// SPDX-License-Identifier: GPL-2.0-or-later
// What a transaction on a PCI function is about to do, kept below /run/pcivm so that a crash at any step can be
// repaired.
//   /run/pcivm/journal/BDF  one open transaction; gone when it is committed or undone
//   /run/pcivm/bound/BDF    a committed bind: who had the function before; gone when it is released
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bdf.hpp"
#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::vfio {

/// Values of the field "intent".
inline constexpr std::string_view kIntentBind{"bind"};
inline constexpr std::string_view kIntentRelease{"release"};

/// One open transaction. Its file outlives the object: only close() removes it. Needs the host lock.
class Journal final {
 public:
  /// Writes the first record: `fields` and the step "begin". Errc::busy when the function has an entry already.
  [[nodiscard]] static Result<Journal> begin(const SysRoot& root, Bdf function, Record fields);
  /// The entry that a crash left behind, to be gone on with during its repair.
  [[nodiscard]] static Journal reopen(const SysRoot& root, Bdf function, Record record);
  /// To be called before the kernel is touched: `step` is what comes next.
  [[nodiscard]] Result<void> step(std::string_view step);
  /// Changes to the record reach the disk with the next step.
  [[nodiscard]] Record& fields() { return record_; }
  /// Committed or undone.
  [[nodiscard]] Result<void> close();

 private:
  Journal(const SysRoot& root, Bdf function, Record record);
  const SysRoot* root_;
  Bdf function_;
  Record record_;
};

/// An entry that a crash, or a step that could not be undone, left behind.
struct LeftOver {
  Bdf function;
  Result<Record> record;  ///< an error when the file is damaged
};
[[nodiscard]] Result<std::vector<LeftOver>> left_over(const SysRoot& root);

/// Removes what a crash left of a record that it was just writing (base/replace_file). With the host lock.
[[nodiscard]] Result<void> remove_unwritten(const SysRoot& root);
[[nodiscard]] Result<void> forget_entry(const SysRoot& root, Bdf function);

/// Settings inside a record, for the journal and for Bound alike.
void put_settings(Record& record, const Settings& settings);
[[nodiscard]] Settings settings_in(const Record& record);

/// A process, told from a later one with the same number by its start time (/proc/PID/stat, field 22).
struct Owner {
  int pid{};
  std::string start;
  /// Of a process that lives now.
  [[nodiscard]] static Result<Owner> of(const SysRoot& root, int pid);
  [[nodiscard]] bool alive(const SysRoot& root) const;
  bool operator==(const Owner&) const = default;
};

/// What is put back when the native driver makes a function's network interface anew.
struct NetdevState {
  std::string mtu;
  bool up{};
};

/// The same inside a record, for the journal and for Bound alike.
void put_netdev(Record& record, const std::optional<NetdevState>& netdev);
[[nodiscard]] std::optional<NetdevState> netdev_in(const Record& record);

/// A function that pcivm bound: what it was before, and for whom.
struct Bound {
  Bdf function;
  std::string identity;
  DriverState former;
  bool managed{};              ///< bound for one VM, to be returned when that ends; otherwise by `pcivm device bind`
  Owner owner;                 ///< of a managed one
  Settings former_settings{};  ///< of those that the bind changed
  std::optional<NetdevState> netdev{};
  std::string on_release{};  ///< program that must succeed before anybody else has it (release_hook.hpp), or empty
};
/// The same as a record, less the function.
[[nodiscard]] Record record_of(const Bound& bound);
[[nodiscard]] Bound bound_in(Bdf function, const Record& record);
/// Errc::not_found when there is none; a damaged one is Errc::invalid.
[[nodiscard]] Result<Bound> load_bound(const SysRoot& root, Bdf function);
[[nodiscard]] Result<void> store_bound(const SysRoot& root, const Bound& bound);
[[nodiscard]] Result<void> forget_bound(const SysRoot& root, Bdf function);
/// All functions with a readable record.
[[nodiscard]] std::vector<Bound> all_bound(const SysRoot& root);

}  // namespace pcivm::vfio
