// SPDX-License-Identifier: GPL-2.0-or-later
// Asking a server of ours on a Unix socket.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "cli/http_message.hpp"

namespace pcivm::cli {

/// Connects, also where the path is longer than a socket's address may be. Errc::not_found: nobody listens there.
[[nodiscard]] Result<Fd> connect_to(const std::string& path);
/// The other side of it: takes the place of a socket that nobody listens to any more. Mode 0600, non-blocking.
[[nodiscard]] Result<Fd> listen_at(const std::string& path);

struct HttpCall {
  std::string_view method{"GET"};
  std::string_view target{};
  std::string_view body{};
  /// How long the answer may take as a whole; none = as long as it takes.
  std::optional<std::chrono::milliseconds> deadline{std::chrono::seconds{10}};
};
/// Asks; the connection is for receive().
[[nodiscard]] Result<Fd> send(const std::string& path, const HttpCall& call);
/// Errc::timeout; Errc::kernel with code "vm.gone" when the server went away without an answer.
[[nodiscard]] Result<HttpAnswer> receive(const Fd& connection, std::optional<std::chrono::milliseconds> deadline);
/// Both.
[[nodiscard]] Result<HttpAnswer> ask(const std::string& path, const HttpCall& call);

/// Asks for another protocol; the connection and its first bytes when the server agreed, its answer when not.
struct HttpUpgrade {
  Fd connection{};
  std::string beyond{};
  HttpAnswer refusal{};  ///< when there is no connection
};
[[nodiscard]] Result<HttpUpgrade> upgrade(const std::string& path, std::string_view target, std::string_view protocol);

}  // namespace pcivm::cli
