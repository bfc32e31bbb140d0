// SPDX-License-Identifier: GPL-2.0-or-later
// user_edu SOCKET [messages]: serves one VM a device for teaching by vfio-user, until that goes. `messages`: reaches
// the guest's RAM by messages only.
#include "tests/support/user_edu.hpp"

#include <sys/un.h>

#include <cstdio>

int main(int count, char** words) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = count > 1 ? words[1] : "";
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    std::fputs("usage: user_edu SOCKET [messages]\n", stderr);
    return 2;
  }
  std::ranges::copy(path, address.sun_path);
  const auto listener = pcivm::Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* const raw = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::bind(listener.ref().number(), raw, sizeof address) != 0 || ::listen(listener.ref().number(), 1) != 0) {
    std::perror(path.c_str());
    return 1;
  }
  auto client = pcivm::Fd::adopt(::accept4(listener.ref().number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client) return 1;
  pcivm::test::UserEdu device{std::move(client), count > 2};
  device.serve();
  return 0;
}
