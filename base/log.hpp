// SPDX-License-Identifier: GPL-2.0-or-later
// Logging to stderr; spdlog stays behind this header. Modules log at debug and trace only and return errors; the
// command and the top of the event loop log warnings and errors, once. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace pcivm::log {

enum class Level : std::uint8_t { trace, debug, info, warning, error, off };

/// Default: warning.
void set_level(Level level);
[[nodiscard]] Level level();
[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view message);

template <class... Args>
void at(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void trace(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::trace, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::warning, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::error, format, std::forward<Args>(args)...);
}

}  // namespace pcivm::log
