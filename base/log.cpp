// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.hpp"

#include <atomic>
#include <memory>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/systemd.hpp"

namespace pcivm::log {

namespace {

// Kept beside spdlog's own level so that a disabled call costs one load and does not create the logger.
std::atomic<Level> current_level{Level::warning};

spdlog::level::level_enum translate(Level level) {
  switch (level) {
    case Level::trace: return spdlog::level::trace;
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::off: return spdlog::level::off;
  }
  return spdlog::level::off;
}

systemd::Priority priority_of(Level level) {
  switch (level) {
    case Level::trace:
    case Level::debug: return systemd::Priority::debug;
    case Level::info: return systemd::Priority::info;
    case Level::warning: return systemd::Priority::warning;
    case Level::error:
    case Level::off: break;
  }
  return systemd::Priority::error;
}

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made{"pcivm", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
    made.set_pattern("%n: %l: %v");
    made.set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

}  // namespace

void set_level(Level level) { current_level = level; }
Level level() { return current_level; }

bool enabled(Level level) { return level >= current_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message) {
  if (systemd::to_journal(priority_of(level), message)) return;
  logger().log(translate(level), spdlog::string_view_t{message.data(), message.size()});
}

}  // namespace pcivm::log
