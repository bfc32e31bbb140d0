// SPDX-License-Identifier: GPL-2.0-or-later
// What pcivm says under systemd: an entry of the journal with fields, in place of a line on stderr.
#pragma once

#include <optional>
#include <string_view>

#include "base/bdf.hpp"
#include "base/systemd.hpp"
#include "cli/context.hpp"

namespace pcivm::cli {

struct JournalMessage {
  systemd::Priority priority{};
  std::string_view text{};
  std::string_view message_id{};  ///< cli/message_ids.hpp
  std::string_view step{};        ///< PCIVM_STEP
  std::string_view code{};        ///< of an error: PCIVM_CODE
  int error_number{};             ///< ERRNO, 0 = none
};

/// PCIVM_DEVICE is the first function that the text names. False = messages do not go to the journal: print it.
bool to_journal(const Context& context, const JournalMessage& message);

/// The first address with a domain in a text ("0000:01:00.0: no driver").
[[nodiscard]] std::optional<Bdf> function_named_in(std::string_view text);

}  // namespace pcivm::cli
