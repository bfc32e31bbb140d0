// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/systemd.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/fd.hpp"

namespace pcivm::systemd {

namespace {

constexpr std::string_view kJournalSocket{"/run/systemd/journal/socket"};
constexpr std::size_t kLongestValue{16'384};  // far below what one datagram carries

/// A datagram socket connected to `path` ("@..." = in the abstract name space); nothing when that fails.
Fd connect_to(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  auto socket = Fd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return {};
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const void* raw = &address;
  if (::connect(socket.ref().number(), static_cast<const sockaddr*>(raw), length) != 0) return {};
  return socket;
}

bool send(FdRef socket, std::string_view text) {
  return ::send(socket.number(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// "DEVICE:INODE", as systemd writes it into JOURNAL_STREAM.
bool names_stderr(const char* stream) {
  struct stat found{};
  return stream != nullptr && ::fstat(STDERR_FILENO, &found) == 0 &&
         fmt::format("{}:{}", found.st_dev, found.st_ino) == stream;
}

/// Open as long as the process lives; not open when stderr is not the journal.
const Fd& journal() {
  static const Fd socket = names_stderr(std::getenv("JOURNAL_STREAM")) ? connect_to(kJournalSocket) : Fd{};
  return socket;
}

void append(std::string& entry, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  value = value.substr(0, kLongestValue);
  entry += name;
  if (value.find('\n') == std::string_view::npos) {
    entry += '=';
  } else {
    // A newline in a value would end it: then its length goes before it, 64 bits little-endian.
    entry += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8) {
      entry += static_cast<char>(std::uint64_t{value.size()} >> shift & 0xffU);
    }
  }
  entry += value;
  entry += '\n';
}

}  // namespace

void notify(std::string_view state) {
  const auto* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  if (const auto socket = connect_to(path)) (void)send(socket.ref(), state);
}

bool stderr_is_journal() { return static_cast<bool>(journal()); }

bool to_journal(Priority priority, std::string_view message, std::span<const Field> fields) {
  return stderr_is_journal() && send(journal().ref(), journal_entry(priority, message, fields));
}

std::string journal_entry(Priority priority, std::string_view message, std::span<const Field> fields) {
  std::string entry;
  append(entry, "MESSAGE", message);
  append(entry, "PRIORITY", fmt::to_string(std::to_underlying(priority)));
  append(entry, "SYSLOG_IDENTIFIER", "pcivm");
  for (const auto& [name, value] : fields) append(entry, name, value);
  return entry;
}

}  // namespace pcivm::systemd
