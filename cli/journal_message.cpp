// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/journal_message.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace pcivm::cli {

bool to_journal(const Context& context, const JournalMessage& message) {
  if (context.err != stderr || !systemd::stderr_is_journal()) return false;
  const auto function = function_named_in(message.text);
  const auto device = function ? function->to_string() : std::string{};
  const auto number = message.error_number == 0 ? std::string{} : fmt::to_string(message.error_number);
  const std::array fields{systemd::Field{"MESSAGE_ID", message.message_id}, systemd::Field{"PCIVM_DEVICE", device},
                          systemd::Field{"PCIVM_STEP", message.step}, systemd::Field{"PCIVM_CODE", message.code},
                          systemd::Field{"ERRNO", number}};
  return systemd::to_journal(message.priority, message.text, fields);
}

std::optional<Bdf> function_named_in(std::string_view text) {
  constexpr std::string_view kOfAddress{"0123456789abcdefABCDEF:."};
  while (!text.empty()) {
    const auto begin = std::min(text.find_first_of(kOfAddress), text.size());
    text.remove_prefix(begin);
    auto word = text.substr(0, text.find_first_not_of(kOfAddress));
    text.remove_prefix(word.size());
    while (word.ends_with(':') || word.ends_with('.')) word.remove_suffix(1);
    // As the kernel spells it: 12:00:00.1 is a time.
    if (const auto function = Bdf::parse(word); function && function->to_string() == word) return *function;
  }
  return std::nullopt;
}

}  // namespace pcivm::cli
