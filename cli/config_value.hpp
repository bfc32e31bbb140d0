// SPDX-License-Identifier: GPL-2.0-or-later
// Values of a configuration, read strictly. Every reader fails with Errc::invalid: what was found, what is wanted.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/bdf.hpp"
#include "base/parse.hpp"
#include "cli/config_yaml.hpp"
#include "sriov/host_config.hpp"

namespace pcivm::cli {

/// `true` or `false` and nothing else: what `yes`, `on` and `no` are depends on who reads them.
[[nodiscard]] Result<bool> bool_value(const ConfigNode& node);

namespace detail {
[[nodiscard]] Result<std::uint64_t> number_value(const ConfigNode& node, std::uint64_t least, std::uint64_t most);
}
/// Decimal, without quotes, sign, leading zeros, exponent, underscores or colons.
template <std::unsigned_integral T>
[[nodiscard]] Result<T> number_value(const ConfigNode& node, T least = 0, T most = std::numeric_limits<T>::max()) {
  return static_cast<T>(TRY(detail::number_value(node, least, most)));
}

/// One line of text. Without quotes it must be text to every reader of YAML, or a plain number: 1.20, 0x10, 007, yes
/// and 2026-01-01 need quotes.
[[nodiscard]] Result<std::string> text_value(const ConfigNode& node);
/// A word whose form says what it is, so that it matters not what YAML takes it for; `wanted` names it in the error.
[[nodiscard]] Result<std::string> word_value(const ConfigNode& node, std::string_view wanted);

[[nodiscard]] Result<MacAddress> mac_value(const ConfigNode& node);
[[nodiscard]] Result<sriov::Guid> guid_value(const ConfigNode& node);
[[nodiscard]] Result<Bdf> bdf_value(const ConfigNode& node);
/// "8086:10c9"
[[nodiscard]] Result<sriov::PciId> pci_id_value(const ConfigNode& node);
/// "host", "none", or a driver's name.
[[nodiscard]] Result<std::string> bind_value(const ConfigNode& node);
[[nodiscard]] Result<std::string> driver_value(const ConfigNode& node);
/// Of a network interface.
[[nodiscard]] Result<std::string> interface_value(const ConfigNode& node);
/// A name that the operator gives: [a-z0-9][a-z0-9-]{0,62}
[[nodiscard]] Result<std::string> name_value(const ConfigNode& node);
[[nodiscard]] bool is_name(std::string_view text);

/// First and last, of VFs: "3" or "0-3".
using IndexRange = std::pair<unsigned, unsigned>;
[[nodiscard]] Result<IndexRange> range_value(const ConfigNode& node);

/// One of a few words.
template <class Value>
struct Choice {
  std::string_view word;
  Value value;
};
/// "'up' is none of auto, enable, disable", with the nearest as hint.
[[nodiscard]] Error none_of(std::string_view text, const std::vector<std::string>& words);
template <class Value, class Choices>
[[nodiscard]] Result<Value> choice_value(const ConfigNode& node, const Choices& choices) {
  std::vector<std::string> words;
  for (const auto& choice : choices) words.emplace_back(choice.word);
  const auto text = TRY(word_value(node, fmt::format("{}", fmt::join(words, " or "))));
  for (const auto& choice : choices) {
    if (choice.word == text) return static_cast<Value>(choice.value);
  }
  return fail(none_of(text, words));
}

}  // namespace pcivm::cli
