// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <array>
#include <random>

// The fuzzer's own source, so that what is fuzzed is what runs here. Its entry has another name beside config's.
#define LLVMFuzzerTestOneInput api_fuzz_one_input
#include "tests/fuzz/api_fuzz.cpp"
#undef LLVMFuzzerTestOneInput

namespace pcivm::cli {
namespace {

constexpr std::array<std::string_view, 4> kInputs{
    "POST /v1/vm/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n{\"how\":\"request\"}\n",
    "GET /v1/console?write=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: pcivm-console\r\n\r\nls\r",
    "HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "apiVersion: pcivm/v1\nkind: Vm\nkernel: /k\ncpus: 2\ndevice: [eth2, '0000:01:00.0']\nonReboot: exit\n"};

TEST(ApiFuzz, NothingBreaksIt) {
  std::mt19937 random{4711};
  for (int count = 0; count < 3000; ++count) {
    std::string text{kInputs[random() % kInputs.size()]};
    for (auto changes = random() % 8; changes > 0 && !text.empty(); --changes) {
      const auto at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random() % 256); break;
        case 1: text.erase(at, random() % 16); break;
        case 2: text.insert(at, 1 + random() % 32, text[random() % text.size()]); break;
        default: text.insert(at, kInputs[random() % kInputs.size()].substr(random() % 60, random() % 30)); break;
      }
    }
    EXPECT_EQ(broken_by(text), "") << text;
  }
}

}  // namespace
}  // namespace pcivm::cli
