// SPDX-License-Identifier: GPL-2.0-or-later
// -o yaml: the same documents as -o json.
#pragma once

#include <string>

#include "cli/json.hpp"

namespace pcivm::cli {

/// Block style, keys in their order, ended by a newline. A string is quoted unless YAML 1.1 and 1.2 both read it as the
/// string that it is: 0000:01:00.0 is a number in base 60 to some readers, `off` is false. Never fails; bytes that are
/// no UTF-8 become U+FFFD, as in JSON.
[[nodiscard]] std::string to_yaml(const Json& document);

}  // namespace pcivm::cli
