// SPDX-License-Identifier: GPL-2.0-or-later
// An error as bytes from one process of pcivm to another.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace pcivm {

/// Its kind, text, hint and code; frames and errno become part of the text.
[[nodiscard]] std::string bytes_of(const Error& error);
/// Bytes that say nothing are Errc::internal.
[[nodiscard]] Error error_of(std::string_view bytes);

}  // namespace pcivm
