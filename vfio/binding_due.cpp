// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/binding_due.hpp"

#include <fmt/format.h>

namespace pcivm::vfio {

std::string names_of(std::span<const Due> dues) {
  std::string names;
  for (const auto& due : dues) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", due.move.now.function.to_string());
  }
  return names;
}

std::vector<std::string> described(std::span<const Due> dues) {
  std::vector<Move> moves;
  for (const auto& due : dues) moves.push_back(due.move);
  std::vector<std::string> lines;
  for (const auto& step : plan_all(moves)) lines.push_back(describe(step));
  return lines;
}

Result<void> tell_after(const Host& host, std::span<const Due> dues, std::vector<Change>& changes) {
  for (const auto& due : dues) {
    const auto after = TRY(situation(host, due.move.now.function));
    changes.at(due.index) = {.changed = true, .before = due.move.now.state, .after = after.state};
  }
  return {};
}

void put_records_back(const Host& host, std::span<const Due> dues) {
  for (const auto& due : dues) {
    const auto function = due.move.now.function;
    const auto back = due.known ? store_bound(host.root, *due.known) : forget_bound(host.root, function);
    if (!back) host.note(fmt::format("the record of {}: {}", function.to_string(), back.error().text()));
  }
}

std::optional<Bound> record_of(const Host& host, Bdf function) {
  auto bound = load_bound(host.root, function);
  if (!bound) return std::nullopt;
  return std::move(*bound);
}

}  // namespace pcivm::vfio
