// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm vm console, pcivm vm logs
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <span>

#include <fmt/format.h>

#include "cli/http_client.hpp"
#include "cli/raw_terminal.hpp"
#include "cli/vm_api.hpp"
#include "cli/vm_client.hpp"
#include "cli/vm_commands.hpp"
#include "cli/vm_runner.hpp"
#include "vmm/console_input.hpp"

namespace pcivm::cli {

namespace {

struct ConsoleArguments {
  std::string name;
  bool read_only{};
};
struct LogsArguments {
  std::string name;
  bool follow{};
};

constexpr int kTaken{409};

Result<HttpUpgrade> open_console(const SysRoot& root, const std::string& name, bool types) {
  auto opened =
      TRY_IN(upgrade(vm_socket(root, name), types ? "/v1/console?write=1" : "/v1/console", VmApi::kConsoleProtocol),
             fmt::format("VM '{}'", name));
  if (opened.connection || (types && opened.refusal.status == kTaken)) return opened;
  auto refused = document_of(opened.refusal);
  if (!refused) return fail(std::move(refused).error());
  return fail(Errc::internal, "the VM gave no console");
}

/// Copies what the guest says to stdout, and keys to the guest, until one of them ends.
class Session final {
 public:
  Session(const Fd& connection, bool types, bool escape) : connection_{connection}, types_{types}, escape_{escape} {}

  /// True: the VM ended; false: the operator left.
  Result<bool> run(std::string_view early) {
    TRY(put(early));
    for (;;) {
      pollfd entries[]{{.fd = connection_.ref().number(), .events = POLLIN, .revents = 0},
                       {.fd = types_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
      if (::poll(entries, 2, -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
      if (entries[0].revents != 0 && !TRY(say())) return true;
      if (entries[1].revents != 0 && !TRY(type())) return false;
    }
  }

 private:
  static Result<void> put(std::string_view text) { return write_all(FdRef{STDOUT_FILENO}, text); }
  Result<bool> say() {
    const auto count = read_some(connection_.ref(), std::as_writable_bytes(std::span{chunk_}));
    if (!count || *count == 0) return false;
    TRY(put({chunk_.data(), *count}));
    return true;
  }
  Result<bool> type() {
    const auto count = read_some(FdRef{STDIN_FILENO}, std::as_writable_bytes(std::span{chunk_}));
    if (!count || *count == 0) {
      types_ = false;
      (void)::shutdown(connection_.ref().number(), SHUT_WR);
      return true;
    }
    std::string_view keys{chunk_.data(), *count};
    const auto escape = escape_ ? keys.find(static_cast<char>(vmm::ConsoleInput::kEscape)) : std::string_view::npos;
    keys = keys.substr(0, escape);
    // A guest that takes nothing makes this wait, so that nothing that was typed is lost.
    while (!keys.empty()) {
      const auto sent = ::send(connection_.ref().number(), keys.data(), keys.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EINTR) return true;  // the end of the VM is seen where its words are read
      keys.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
    return escape == std::string_view::npos;
  }

  const Fd& connection_;
  bool types_;
  bool escape_;
  std::array<char, 4096> chunk_{};
};

Result<int> console(Context& context, const ConsoleArguments& args) {
  const auto view = TRY(running_vm(context.root(), args.name));
  bool types = !args.read_only && may_read(FdRef{STDIN_FILENO});
  auto opened = TRY(open_console(context.root(), args.name, types));
  if (!opened.connection) {
    context.note("somebody types on this console already: it can only be read");
    types = false;
    opened = TRY(open_console(context.root(), args.name, types));
  }
  const bool terminal = !args.read_only && ::isatty(STDIN_FILENO) == 1;
  if (terminal) context.note(fmt::format("console of {}; Ctrl-] leaves it", args.name));
  const RawTerminal raw{FdRef{types ? STDIN_FILENO : -1}};
  Session session{opened.connection, types, static_cast<bool>(raw)};
  const bool ended = TRY(session.run(opened.beyond));
  if (ended) context.note(fmt::format("{} has ended", args.name));
  return 0;
}

Result<int> logs(Context& context, const LogsArguments& args) {
  const auto view = TRY(view_vm(context.root(), args.name));
  if (!view.runs()) {
    auto kept = context.root().read(vm_console_file(args.name));
    if (!kept) return fail(std::move(kept).error().within(fmt::format("VM '{}' does not run", args.name)));
    context.put(*kept + "\n");
    return 0;
  }
  if (args.follow) {
    const auto opened = TRY(open_console(context.root(), args.name, false));
    Session session{opened.connection, false, false};
    TRY(session.run(opened.beyond));
    return 0;
  }
  const auto answer = TRY_IN(ask(vm_socket(context.root(), args.name), {.target = "/v1/console/log"}),
                             fmt::format("VM '{}'", args.name));
  if (answer.status == 200) {
    context.put(answer.body);
    return 0;
  }
  auto refused = document_of(answer);
  if (!refused) return fail(std::move(refused).error());
  return fail(Errc::internal, "the VM gave no log");
}

}  // namespace

void add_vm_console(CLI::App& group, Context& context) {
  auto& args = context.keep<ConsoleArguments>();
  auto& command = add_command(group, context, "console", "what a guest says, from its start, and typing to it",
                              [&args](Context& here) { return console(here, args); });
  command.add_option("name", args.name, "one that runs")->required()->type_name("VM");
  command.add_flag("--read-only", args.read_only, "type nothing");
}

void add_vm_logs(CLI::App& group, Context& context) {
  auto& args = context.keep<LogsArguments>();
  auto& command = add_command(group, context, "logs", "the last 256 KiB that a guest said",
                              [&args](Context& here) { return logs(here, args); });
  command.add_option("name", args.name, "one that runs, or ran in the background")->required()->type_name("VM");
  command.add_flag("-f,--follow", args.follow, "go on until it ends");
}

}  // namespace pcivm::cli
