// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/program_pages.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace pcivm {
namespace {

// KiB of the process that are files, from /proc.
long file_pages() {
  std::ifstream status{"/proc/self/status"};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::atol(line.substr(8).c_str());
  }
  return 0;
}

TEST(ProgramPages, AreFewerAfterwardsAndTheProgramGoesOn) {
  const auto before = file_pages();
  static const std::string kConstant{"still what it was"};
  drop_program_pages();
  const auto after = file_pages();
  EXPECT_LT(after, before);
  EXPECT_EQ(kConstant, "still what it was");
}

}  // namespace
}  // namespace pcivm
