// SPDX-License-Identifier: GPL-2.0-or-later
// passt(1), which carries a guest's frames by sockets of its own: a network without privileges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/option_list.hpp"

namespace pcivm::cli {

/// Of `--net passt`: what is said of it in `list` as arguments of passt(1). tcp= and udp= are ports of the host that
/// lead to ports of the guest, [ADDRESS/]PORT[:PORT], with '+' between them. Errc::invalid names `option`.
[[nodiscard]] Result<std::vector<std::string>> passt_arguments(std::string_view option, const OptionList& list);

/// Starts it, and waits until it has its ports and sandbox; returns the other end of its socket, which does not block.
/// It ends when that is closed, whoever held it last. Errc::refused: there is no passt; kernel: it said why not.
/// Single-threaded.
[[nodiscard]] Result<Fd> start_passt(const std::vector<std::string>& arguments);

}  // namespace pcivm::cli
