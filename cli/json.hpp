// SPDX-License-Identifier: GPL-2.0-or-later
// JSON documents with their keys in the order in which they were written.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace pcivm::cli {

using Json = nlohmann::ordered_json;

/// Indented text; bytes that are no UTF-8 (a device may report anything as its name) become U+FFFD.
[[nodiscard]] std::string to_text(const Json& document);

/// null = unknown, or none.
template <class T>
[[nodiscard]] Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
[[nodiscard]] inline Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace pcivm::cli
