// SPDX-License-Identifier: GPL-2.0-or-later
// Runs the whole command in this process: arguments in, exit code and both outputs out.
#pragma once

#include <stdlib.h>

#include <cstdio>
#include <string>
#include <vector>

#include "cli/args.hpp"

namespace pcivm::test {

struct Outcome {
  int code{};
  std::string out;
  std::string err;
};

/// A stream into memory; `text` is complete after the destructor of the stream ran, which `take` does.
class Capture final {
 public:
  Capture() : stream_{::open_memstream(&data_, &size_)} {}
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ != nullptr) std::fclose(stream_);
    std::free(data_);
  }
  [[nodiscard]] std::FILE* stream() const { return stream_; }
  [[nodiscard]] std::string take() {
    std::fclose(stream_);
    stream_ = nullptr;
    return {data_, size_};
  }

 private:
  char* data_{};
  std::size_t size_{};
  std::FILE* stream_;
};

/// `arguments` without the program's name.
inline Outcome run_command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "pcivm");
  std::vector<char*> raw;
  for (auto& argument : arguments) raw.push_back(argument.data());
  Capture out;
  Capture err;
  const int code = cli::run(raw, out.stream(), err.stream());
  return {code, out.take(), err.take()};
}

}  // namespace pcivm::test
