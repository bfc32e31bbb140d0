// SPDX-License-Identifier: GPL-2.0-or-later
// What bind_all() and release_all() share: the functions that are to change, and what is told and put back of them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vfio/binding.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/journal.hpp"

namespace pcivm::vfio {

/// A function of a request that is not yet as asked.
struct Due {
  std::size_t index{};  ///< in the request
  Move move;
  std::optional<Bound> known{};  ///< its record before the transaction
  std::optional<NetdevState> netdev{};  ///< of a bind: what its interface has now
};

/// "0000:02:00.0, 0000:02:01.0"
[[nodiscard]] std::string names_of(std::span<const Due> dues);
[[nodiscard]] std::vector<std::string> described(std::span<const Due> dues);
/// Fills in the changes of those that were carried out.
[[nodiscard]] Result<void> tell_after(const Host& host, std::span<const Due> dues, std::vector<Change>& changes);
/// Makes the records say again what they said before the transaction; a failure is told as a note.
void put_records_back(const Host& host, std::span<const Due> dues);
/// The function's record; nothing when there is none that can be read.
[[nodiscard]] std::optional<Bound> record_of(const Host& host, Bdf function);

}  // namespace pcivm::vfio
