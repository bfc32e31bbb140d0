// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstdio>

#include "cli/args.hpp"

int main(int argc, char** argv) { return pcivm::cli::run({argv, static_cast<std::size_t>(argc)}, stdout, stderr); }
