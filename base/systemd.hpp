// SPDX-License-Identifier: GPL-2.0-or-later
// Talking to systemd without its library: readiness to the service manager (sd_notify(3)) and messages with fields to
// the journal (its native protocol). Both are one datagram to a Unix socket. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pcivm::systemd {

/// "READY=1", "STATUS=...", "STOPPING=1". Does nothing when no manager asked for it (NOTIFY_SOCKET).
void notify(std::string_view state);

/// As syslog(3) counts them.
enum class Priority : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// A field of a journal entry: the name in capitals, a value that may hold anything. Empty values are left out.
struct Field {
  std::string_view name;
  std::string_view value;
};

/// True when this process's stderr is the journal's (JOURNAL_STREAM names the very file). Asked once.
[[nodiscard]] bool stderr_is_journal();

/// Writes an entry; false = stderr is not the journal, or it takes nothing: then print the message instead. The first
/// call opens the socket, so a process that will lose its file system calls it, or stderr_is_journal(), before.
bool to_journal(Priority priority, std::string_view message, std::span<const Field> fields = {});

/// The datagram of that entry; long values are cut.
[[nodiscard]] std::string journal_entry(Priority priority, std::string_view message, std::span<const Field> fields);

}  // namespace pcivm::systemd
