// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.hpp"

#include <atomic>
#include <memory>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

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

bool enabled(Level level) { return level >= current_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view message) {
  logger().log(translate(level), spdlog::string_view_t{message.data(), message.size()});
}

}  // namespace pcivm::log
