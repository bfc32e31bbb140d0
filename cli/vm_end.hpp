// SPDX-License-Identifier: GPL-2.0-or-later
// How a VM ended, as bytes from one process of pcivm to another.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "vmm/machine.hpp"

namespace pcivm::cli {

/// An error keeps its kind, text, hint and code; frames and errno become part of its text.
[[nodiscard]] std::string encode(const Result<vmm::VmEnd>& end);
/// Nothing: these bytes say nothing.
[[nodiscard]] std::optional<Result<vmm::VmEnd>> decode(std::string_view report);

/// "powerOff", "reboot", "killed", as documents have it.
[[nodiscard]] std::string_view to_string(vmm::VmEnd end);

/// The kind of error that a command failed with which ended with exit code `code`.
[[nodiscard]] Errc errc_of(int code);

}  // namespace pcivm::cli
