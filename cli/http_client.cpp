// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/http_client.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/child.hpp"

namespace pcivm::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAnswer{4U << 20U};
constexpr int kBacklog{128};
constexpr auto kNever = Clock::time_point::max();

// A path that does not fit is reached through its directory, which is open meanwhile.
struct Address {
  sockaddr_un raw{};
  Fd directory{};
};

Result<Address> address_of(const std::string& path) {
  Address address;
  address.raw.sun_family = AF_UNIX;
  auto text = path;
  if (text.size() >= sizeof(address.raw.sun_path)) {
    const std::filesystem::path whole{path};
    address.directory = TRY(open_path(whole.parent_path(), O_PATH | O_DIRECTORY));
    text = fmt::format("/proc/self/fd/{}/{}", address.directory.ref().number(), whole.filename().string());
  }
  if (text.size() >= sizeof(address.raw.sun_path)) return fail(Errc::invalid, fmt::format("'{}' is too long", path));
  std::memcpy(address.raw.sun_path, text.data(), text.size());
  return address;
}

const sockaddr* as_socket_address(const Address& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address.raw));
}

Result<Fd> new_socket(int flags) {
  auto socket = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket) return fail_errno(errno, "socket");
  return socket;
}

/// Adds what comes next; false at the end.
Result<bool> read_more(const Fd& socket, std::string& text, Clock::time_point deadline) {
  while (deadline != kNever) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() > 0 && TRY(readable_within(socket.ref(), left))) break;
    if (left.count() <= 0) return fail(Errc::timeout, "no answer in time");
  }
  std::array<char, 16384> chunk{};
  const auto count = TRY(read_some(socket.ref(), std::as_writable_bytes(std::span{chunk})));
  text.append(chunk.data(), count);
  if (text.size() > kMostAnswer) return fail(Errc::invalid, "the answer has no end");
  return count != 0;
}

/// write(2) would end this process when the server has gone.
bool send_all(const Fd& socket, std::string_view text) {
  return ::send(socket.ref().number(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

Error no_answer() { return Error::make(Errc::kernel, "the connection ended without an answer").coded("vm.gone"); }

}  // namespace

Result<Fd> connect_to(const std::string& path) {
  auto socket = TRY(new_socket(0));
  const auto address = TRY(address_of(path));
  if (::connect(socket.ref().number(), as_socket_address(address), sizeof(address.raw)) == 0) return socket;
  const int error = errno;
  auto failure = Error::from_errno(error, fmt::format("connect to '{}'", path));
  return fail(error == ECONNREFUSED ? std::move(failure).as(Errc::not_found) : std::move(failure));
}

Result<Fd> listen_at(const std::string& path) {
  auto socket = TRY(new_socket(SOCK_NONBLOCK));
  const auto address = TRY(address_of(path));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, fmt::format("remove '{}'", path));
  // bind(2) makes the file with the mode of the socket.
  if (::fchmod(socket.ref().number(), 0600) != 0) return fail_errno(errno, "fchmod of a socket");
  if (::bind(socket.ref().number(), as_socket_address(address), sizeof(address.raw)) != 0) {
    return fail_errno(errno, fmt::format("bind '{}'", path));
  }
  if (::listen(socket.ref().number(), kBacklog) != 0) return fail_errno(errno, fmt::format("listen at '{}'", path));
  return socket;
}

Result<Fd> send(const std::string& path, const HttpCall& call) {
  auto socket = TRY(connect_to(path));
  const auto request = fmt::format("{} {} HTTP/1.1\r\nHost: pcivm\r\nContent-Length: {}\r\n\r\n{}", call.method,
                                   call.target, call.body.size(), call.body);
  if (!send_all(socket, request)) return fail(no_answer());
  return socket;
}

Result<HttpAnswer> receive(const Fd& connection, std::optional<std::chrono::milliseconds> deadline) {
  const auto until = deadline ? Clock::now() + *deadline : kNever;
  std::string text;
  for (;;) {
    const auto more = read_more(connection, text, until);
    if (!more && more.error().kind() == Errc::timeout) return fail(more.error());
    if (!more || !*more) break;
  }
  auto answer = parse_answer(text);
  if (!answer) return fail(no_answer());
  return std::move(*answer);
}

Result<HttpAnswer> ask(const std::string& path, const HttpCall& call) {
  const auto connection = TRY(send(path, call));
  return receive(connection, call.deadline);
}

Result<HttpUpgrade> upgrade(const std::string& path, std::string_view target, std::string_view protocol) {
  auto socket = TRY(connect_to(path));
  const auto deadline = Clock::now() + std::chrono::seconds{10};
  const auto request =
      fmt::format("GET {} HTTP/1.1\r\nHost: pcivm\r\nConnection: Upgrade\r\nUpgrade: {}\r\n\r\n", target, protocol);
  if (!send_all(socket, request)) return fail(no_answer());
  std::string text;
  for (;;) {
    const auto answer = parse_answer(text);
    if (answer && answer->status == 101) {
      return HttpUpgrade{.connection = std::move(socket), .beyond = answer->body};
    }
    const bool more = TRY(read_more(socket, text, deadline));
    if (more) continue;
    if (!answer) return fail(no_answer());
    return HttpUpgrade{.refusal = *answer};
  }
}

}  // namespace pcivm::cli
