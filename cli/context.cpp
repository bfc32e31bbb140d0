// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/context.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

namespace pcivm::cli {

bool Context::forced(std::string_view check) const {
  return std::ranges::find(options.force, check) != options.force.end();
}

void Context::put(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  if (!written && write_error_ == 0) write_error_ = errno;
}

void Context::flush() {
  if (std::fflush(out) != 0 && write_error_ == 0) write_error_ = errno;
}

void Context::note(std::string_view text) const {
  // Not by fmt::print, which throws when stderr is closed.
  if (!options.quiet) std::fputs(fmt::format("{}\n", text).c_str(), err);
}

bool Context::colored() const {
  if (options.color != Color::automatic) return options.color == Color::always;
  const auto* no_color = std::getenv("NO_COLOR");  // https://no-color.org: set and not empty
  const auto* terminal = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  if (terminal != nullptr && std::string_view{terminal} == "dumb") return false;
  const int number = ::fileno(out);
  return number >= 0 && ::isatty(number) == 1;
}

}  // namespace pcivm::cli
