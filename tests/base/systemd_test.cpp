// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/systemd.hpp"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "base/fd.hpp"
#include "tests/support/temp_root.hpp"

namespace pcivm::systemd {
namespace {

TEST(JournalEntry, OneLineAField) {
  const std::array fields{Field{"MESSAGE_ID", "abc"}, Field{"PCIVM_DEVICE", ""}, Field{"ERRNO", "16"}};
  EXPECT_EQ(journal_entry(Priority::error, "0000:01:00.0: busy", fields),
            "MESSAGE=0000:01:00.0: busy\nPRIORITY=3\nSYSLOG_IDENTIFIER=pcivm\nMESSAGE_ID=abc\nERRNO=16\n");
}

TEST(JournalEntry, AValueWithNewlinesCannotAddAField) {
  EXPECT_EQ(journal_entry(Priority::info, "a\nPRIORITY=0", {}),
            std::string("MESSAGE\n\x0c\0\0\0\0\0\0\0", 16) + "a\nPRIORITY=0\nPRIORITY=6\nSYSLOG_IDENTIFIER=pcivm\n");
}

TEST(JournalEntry, LongValuesAreCut) {
  EXPECT_LT(journal_entry(Priority::info, std::string(1 << 20, 'x'), {}).size(), 20'000U);
}

TEST(Notify, SendsItsStateToTheManager) {
  const test::TempRoot directory;
  const auto path = directory.path("/notify").string();
  const auto socket = Fd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  const void* raw = &address;
  ASSERT_EQ(::bind(socket.ref().number(), static_cast<const sockaddr*>(raw), sizeof(address)), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  notify("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  std::array<char, 64> said{};
  ASSERT_EQ(::recv(socket.ref().number(), said.data(), said.size(), 0), 7);
  EXPECT_STREQ(said.data(), "READY=1");
}

TEST(Notify, WithoutAManagerDoesNothing) {
  ::unsetenv("NOTIFY_SOCKET");
  notify("READY=1");
  ::setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  notify("READY=1");
  ::setenv("NOTIFY_SOCKET", "", 1);
  notify("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
}

TEST(Journal, IsNotStderrOfATest) { EXPECT_FALSE(to_journal(Priority::info, "a test")); }

}  // namespace
}  // namespace pcivm::systemd
