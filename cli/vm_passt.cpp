// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_passt.hpp"

#include <arpa/inet.h>
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/parse.hpp"
#include "base/socket.hpp"
#include "cli/host_program.hpp"

namespace pcivm::cli {

namespace {

constexpr std::chrono::milliseconds kStart{10'000};
constexpr unsigned kLastPort = 65535;

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return ::inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

bool is_port(std::string_view text) {
  const auto port = parse_decimal<unsigned>(text, kLastPort);
  return port && *port != 0;
}

/// passt has ranges, exclusions and interfaces besides; what it would read as those is refused.
bool is_forward(std::string_view text) {
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    if (!is_address(std::string{text.substr(0, slash)})) return false;
    text.remove_prefix(slash + 1);
  }
  const auto colon = text.find(':');
  return is_port(text.substr(0, colon)) && (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

Result<void> add_forwards(std::vector<std::string>& arguments, std::string_view option, std::string_view key,
                          std::string_view list) {
  for (;;) {
    const auto plus = list.find('+');
    const auto forward = list.substr(0, plus);
    if (!is_forward(forward)) {
      return fail(Errc::invalid,
                  fmt::format("{}: {}={} found, [ADDRESS/]PORT[:PORT] wanted, of the host and of the guest", option,
                              key, forward));
    }
    arguments.emplace_back(key == "tcp" ? "--tcp-ports" : "--udp-ports");
    arguments.emplace_back(forward);
    if (plus == std::string_view::npos) return {};
    list.remove_prefix(plus + 1);
  }
}

}  // namespace

Result<std::vector<std::string>> passt_arguments(std::string_view option, const OptionList& list) {
  std::vector<std::string> arguments;
  // Otherwise the gateway's address leads to what listens on the host's loopback only.
  if (!list.flag("loopback")) arguments.emplace_back("--no-map-gw");
  for (const std::string_view key : {"tcp", "udp"}) {
    if (const auto forwards = list.value(key)) TRY(add_forwards(arguments, option, key, *forwards));
  }
  return arguments;
}

// Without --foreground: then its first process ends once it is ready, or cannot be, and what stays is no child that
// somebody would have to wait for.
Result<Fd> start_passt(const std::vector<std::string>& arguments) {
  auto [ours, theirs] = TRY(make_socket_pair());
  if (::fcntl(ours.ref().number(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "fcntl");
  std::vector<std::string> words{"passt", "--quiet", "--fd", std::to_string(theirs.ref().number())};
  words.insert(words.end(), arguments.begin(), arguments.end());
  auto end = run_program(std::move(words), kStart, theirs.ref());
  if (!end && end.error().kind() == Errc::not_found) {
    return fail(std::move(end).error().as(Errc::refused).coded("vm.no_passt").advise("apt-get install passt"));
  }
  if (!end) return fail(std::move(end).error());
  if (end->code == 0) return std::move(ours);
  return fail(
      Error::make(Errc::kernel, fmt::format("passt did not start: {}",
                                            end->text.empty() ? fmt::format("exit code {}", end->code) : end->text))
          .coded("vm.passt_failed")
          .advise("journalctl -t passt; is a port taken, or may its user make no user name space?"));
}

}  // namespace pcivm::cli
