// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/raw_terminal.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace pcivm::cli {

bool may_read(FdRef fd) {
  if (::fcntl(fd.number(), F_GETFD) < 0) return false;
  return ::isatty(fd.number()) == 0 || ::tcgetpgrp(fd.number()) == ::getpgrp();
}

RawTerminal::RawTerminal(FdRef fd) : fd_{fd.number()} {
  termios mode{};
  if (::isatty(fd_) == 0 || !may_read(fd) || ::tcgetattr(fd_, &mode) != 0) return;
  auto raw = mode;
  ::cfmakeraw(&raw);
  raw.c_oflag |= OPOST;  // messages on stderr keep their line ends
  if (::tcsetattr(fd_, TCSADRAIN, &raw) == 0) former_ = mode;
}

RawTerminal::~RawTerminal() {
  if (former_) (void)::tcsetattr(fd_, TCSADRAIN, &*former_);
}

}  // namespace pcivm::cli
