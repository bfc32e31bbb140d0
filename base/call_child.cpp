// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/call_child.hpp"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>

#include "base/child.hpp"

namespace pcivm {

namespace {

// Requests come as whole messages; none means that the parent is gone.
[[noreturn]] void serve(const CallWork& work, FdRef socket) {
  std::string request(CallChild::kMost, '\0');
  for (;;) {
    const auto length = ::recv(socket.number(), request.data(), request.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) ::_exit(0);
    const auto answer = work(std::string_view{request}.substr(0, static_cast<std::size_t>(length)));
    if (::send(socket.number(), answer.data(), answer.size(), MSG_NOSIGNAL) < 0) ::_exit(0);
  }
}

}  // namespace

Result<CallChild> CallChild::start(const CallWork& work) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno(errno, "socketpair");
  auto ours = Fd::adopt(ends[0]);
  const auto theirs = Fd::adopt(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) {
    ours.close();  // or the child would keep itself alive
    serve(work, theirs.ref());
  }
  return CallChild{pid, std::move(ours)};
}

CallChild::CallChild(CallChild&& other) noexcept : pid_{other.pid_}, socket_{std::move(other.socket_)} {}

CallChild::~CallChild() {
  if (!socket_) return;
  socket_.close();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Error CallChild::lost(Error why) {
  socket_.close();
  ::kill(pid_, SIGKILL);
  // Where it can die at once it is not left as a zombie; where it cannot, the kernel keeps it.
  (void)::waitpid(pid_, nullptr, WNOHANG);
  return why;
}

Result<std::string> CallChild::ask(std::string_view request, std::chrono::milliseconds deadline) {
  if (request.size() > kMost) return fail_errno(EMSGSIZE, "ask a child process");
  if (::send(socket_.ref().number(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return fail(lost(Error::from_errno(errno, "ask a child process")));
  }
  const bool answered = TRY(readable_within(socket_.ref(), deadline));
  if (!answered) {
    return fail(
        lost(Error::make(Errc::timeout, fmt::format("still blocked in the kernel after {} ms (child process {})",
                                                    deadline.count(), pid_))));
  }
  std::string answer(kMost, '\0');
  const auto length = ::recv(socket_.ref().number(), answer.data(), answer.size(), 0);
  if (length <= 0) return fail(lost(Error::make(Errc::internal, fmt::format("child process {} died", pid_))));
  answer.resize(static_cast<std::size_t>(length));
  return answer;
}

}  // namespace pcivm
