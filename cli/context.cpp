// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/context.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace pcivm::cli {

bool Context::forced(std::string_view check) const {
  return std::ranges::find(options.force, check) != options.force.end();
}

void Context::note(std::string_view text) const {
  if (!options.quiet) fmt::print(err, "{}\n", text);
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
