// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "cli/args.hpp"

namespace {

// A file that is opened while a standard descriptor is closed takes its number, and messages would then be written into
// sysfs. Opened the wrong way round, so that using it still fails.
std::vector<pcivm::Fd> occupy_standard_descriptors() {
  std::vector<pcivm::Fd> holes;
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (::fcntl(number, F_GETFD) >= 0) continue;
    auto hole = pcivm::open_path("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (hole) holes.push_back(std::move(*hole));
  }
  return holes;
}

}  // namespace

int main(int argc, char** argv) {
  const auto holes = occupy_standard_descriptors();
  return pcivm::cli::run({argv, static_cast<std::size_t>(argc)}, stdout, stderr);
}
