// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/context.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "cli/journal_message.hpp"
#include "vfio/force.hpp"

namespace pcivm::cli {

namespace {

/// A terminal that understands escape sequences.
bool capable_terminal(std::FILE* stream) {
  const auto* type = std::getenv("TERM");
  if (type != nullptr && std::string_view{type} == "dumb") return false;
  const int number = ::fileno(stream);
  return number >= 0 && ::isatty(number) == 1;
}

}  // namespace

bool Context::forced(std::string_view check) const { return vfio::forced(options.force, check); }

void Context::put(std::string_view text) {
  progress.stop();
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  if (!written && write_error_ == 0) write_error_ = errno;
}

void Context::flush() {
  if (std::fflush(out) != 0 && write_error_ == 0) write_error_ = errno;
}

void Context::note(std::string_view text, NoteFields fields) {
  progress.hide();
  if (options.quiet) return;
  const JournalMessage message{
      .priority = systemd::Priority::notice, .text = text, .message_id = fields.message_id, .step = fields.step};
  if (to_journal(*this, message)) return;
  // Not by fmt::print, which throws when stderr is closed.
  std::fputs(fmt::format("{}\n", text).c_str(), err);
}

void Context::doing(std::string what) {
  if (options.quiet || options.verbosity > 0 || !capable_terminal(err)) return;
  progress.start(std::move(what));
}

bool Context::colored() const {
  if (options.color != Color::automatic) return options.color == Color::always;
  const auto* no_color = std::getenv("NO_COLOR");  // https://no-color.org: set and not empty
  return (no_color == nullptr || *no_color == '\0') && capable_terminal(out);
}

}  // namespace pcivm::cli
