// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <span>
#include <string>

#include <fmt/format.h>

#include "base/child.hpp"
#include "base/replace_file.hpp"
#include "base/socket.hpp"
#include "cli/report.hpp"
#include "cli/vm_end.hpp"
#include "cli/vm_runner.hpp"

namespace pcivm::cli {

namespace {

constexpr std::chrono::seconds kStartPatience{120};  // binding may wait for the host lock and for resets
constexpr std::string_view kReady{"R"};
constexpr std::size_t kMostWord{65536};

Fd open_messages(const SysRoot& root, const std::string& name) {
  const auto path = vm_messages_file(name);
  if (!replace_file(root, path, "", 0600, 0700)) return {};
  auto file = root.open_file(path, O_WRONLY | O_APPEND);
  return file ? std::move(*file) : Fd{};
}

void replace_standard_files(Fd messages) {
  const auto null = open_path("/dev/null", O_RDWR);
  if (!null) return;
  (void)::dup2(null->ref().number(), STDIN_FILENO);
  (void)::dup2(null->ref().number(), STDOUT_FILENO);
  (void)::dup2(messages ? messages.ref().number() : null->ref().number(), STDERR_FILENO);
}

}  // namespace

Result<void> run_vm_detached(Context& context, const VmRequest& request) {
  context.progress.stop();  // there are two of this process from here on
  auto [ours, theirs] = TRY(make_socket_pair());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    ours.close();
    (void)::setsid();
    replace_standard_files(open_messages(context.root(), request.name));
    const auto end = run_vm(context, request, [&theirs] {
      (void)write_all(theirs.ref(), kReady);
      theirs.close();
      (void)::chdir("/");
    });
    if (theirs) (void)write_all(theirs.ref(), encode(end));
    ::_exit(end ? EXIT_SUCCESS : report(context, end.error()));
  }
  theirs.close();
  const bool told = TRY(readable_within(ours.ref(), context.options.timeout.value_or(kStartPatience)));
  if (!told) {
    return fail(
        Error::make(Errc::timeout, fmt::format("VM '{}' was started, but its guest does not run yet", request.name))
            .advise(fmt::format("pcivm vm show {}", request.name)));
  }
  // The VMM holds the other end too as long as it runs: only the word of a start that failed has an end.
  std::string word(1, '\0');
  const auto count = TRY(read_some(ours.ref(), std::as_writable_bytes(std::span{word})));
  if (count == 1 && word == kReady) return {};
  word += TRY(read_to_end(ours.ref(), kMostWord));
  const auto end = decode(word);
  if (!end) return fail(Errc::internal, fmt::format("the supervisor of VM '{}' died", request.name));
  if (!*end) return fail(end->error());
  return {};  // it ran, and its guest has powered off already
}

}  // namespace pcivm::cli
