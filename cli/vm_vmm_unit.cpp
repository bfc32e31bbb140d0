// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_vmm_unit.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "base/child.hpp"
#include "base/error_bytes.hpp"
#include "base/parse.hpp"
#include "base/socket.hpp"
#include "base/text.hpp"
#include "cli/vm_wire.hpp"

namespace pcivm::cli {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStart{30'000};  // systemd starts it, with name spaces of its own
constexpr milliseconds kPacket{10'000};
constexpr std::size_t kMostBytes = std::size_t{64} << 20U;  // option ROMs are in it
constexpr std::size_t kMostFiles = 4096;
constexpr std::string_view kVersion{"pcivm " PCIVM_VERSION};
constexpr std::string_view kTaken{"taken"};
constexpr int kFirstListener = 3;  // sd_listen_fds(3)

Error out_of_time(std::string_view what, milliseconds patience) {
  return Error::make(Errc::timeout, fmt::format("{} within {} s", what, patience.count() / 1000));
}

/// Waits until there is something to read, or the other end is gone.
Result<void> await(FdRef socket, std::string_view what, milliseconds patience = kPacket) {
  if (!TRY(readable_within(socket, patience))) return fail(out_of_time(what, patience));
  return {};
}

Result<Packet> next_packet(FdRef socket) {
  TRY(await(socket, "nothing came"));
  auto packet = TRY(receive_packet(socket));
  if (!packet) return fail(Errc::internal, "the other end is gone");
  return std::move(*packet);
}

Result<void> send_when_it_takes(FdRef socket, std::string_view text, std::span<const FdRef> files = {}) {
  for (;;) {
    auto sent = send_packet(socket, text, files);
    if (sent || sent.error().sys_errno() != EAGAIN) return sent;
    pollfd entry{.fd = socket.number(), .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(kPacket.count()));
    if (ready == 0) return fail(out_of_time("it does not read", kPacket));
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
  }
}

/// The supervisor's part until the process is known.
Result<VmmProcess> greeted(FdRef socket) {
  TRY(await(socket, "the unit did not start", kStart));
  const auto greeting = TRY(receive_greeting(socket));
  if (!greeting) return fail(Errc::internal, "the unit did not start");
  if (greeting->text != kVersion) {
    return fail(Error::make(Errc::refused, fmt::format("it is '{}', the supervisor '{}'", greeting->text, kVersion))
                    .coded("vmm.version")
                    .advise("the package changed meanwhile: systemctl daemon-reload, and start the VM again"));
  }
  VmmProcess vmm{.id = greeting->process, .user = greeting->user};
  vmm.pidfd = Fd::adopt(static_cast<int>(::syscall(SYS_pidfd_open, vmm.id, 0)));
  if (!vmm.pidfd) return fail_errno(errno, fmt::format("pidfd_open {}", vmm.id));
  // It waits for what comes next: as long as it does, that number is no other process's.
  if (hung_up(socket)) return fail(Errc::internal, "it ended at once");
  return vmm;
}

Result<void> hand_over(FdRef socket, VmmParts parts) {
  TRY(detail::send_parcel(socket, pack(std::move(parts))));
  const auto answer = TRY(next_packet(socket));
  if (answer.text != kTaken) return fail(error_of(answer.text));
  return {};
}

/// The one socket that systemd passed, listening.
Result<Fd> listener() {
  const auto* const process = std::getenv("LISTEN_PID");
  const auto* const count = std::getenv("LISTEN_FDS");
  if (process == nullptr || count == nullptr || fmt::to_string(::getpid()) != process ||
      std::string_view{count} != "1") {
    return fail(Error::make(Errc::invalid, "one socket of systemd's is wanted (LISTEN_FDS=1)")
                    .advise("this is what pcivm-vmm@NAME.service runs: systemctl start pcivm-vm@NAME"));
  }
  if (::fcntl(kFirstListener, F_SETFD, FD_CLOEXEC) != 0) return fail_errno(errno, "fcntl of systemd's socket");
  return Fd::adopt(kFirstListener);
}

/// Whoever asked systemd for this process. Nobody else is taken after that.
Result<Fd> supervisor_at(Fd listening) {
  // At once, but when systemd restarts the supervisor's unit, which makes it start this one before that.
  TRY(await(listening.ref(), "nobody connected", kStart));
  auto socket = Fd::adopt(::accept4(listening.ref().number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return fail_errno(errno, "accept");
  const auto user = TRY(user_of_peer(socket.ref()));
  if (user != 0) return fail(Errc::denied, fmt::format("connected by user {}, root wanted", user));
  return socket;
}

Result<VmmParts> received_parts(FdRef socket) {
  TRY(send_when_it_takes(socket, kVersion));
  auto parcel = TRY_IN(detail::receive_parcel(socket), "what makes the VM");
  auto parts = TRY(unpack(std::move(parcel)));
  if (!parts.report) return fail(Errc::invalid, "a VM without a pipe for its end");
  return parts;
}

}  // namespace

std::string vmm_unit(std::string_view vm) { return fmt::format("pcivm-vmm@{}.service", vm); }

Result<void> check_unit_name(const std::string& vm) {
  if (vm.size() <= kLongestUnitName) return {};
  return fail(Error::make(Errc::invalid, fmt::format("VM '{}': a name of {} bytes, at most {} wanted for a unit", vm,
                                                     vm.size(), kLongestUnitName))
                  .coded("vm.unit_name")
                  .advise(fmt::format("`pcivm vm start {}` runs it without one", vm)));
}

Result<VmmProcess> hand_to_unit(const std::string& socket, VmmParts parts, VmmEnds ends) {
  const auto unit = vmm_unit(parts.config.name);
  const auto within = [&unit](Error error) {
    return fail(
        std::move(error).within(fmt::format("the VMM, {}", unit)).advise(fmt::format("systemctl status {}", unit)));
  };
  const auto connection = connect_for_packets(socket);
  if (!connection) return within(connection.error());
  parts.config.control = std::move(ends.control);
  parts.report = std::move(ends.report);
  auto vmm = greeted(connection->ref());
  if (!vmm) return within(std::move(vmm).error());
  vmm->unit = unit;
  auto given = hand_over(connection->ref(), std::move(parts));
  if (given) return vmm;
  kill_vmm(*vmm);  // it may have been given devices
  return within(std::move(given).error());
}

Error be_unit() {
  auto socket = [] -> Result<Fd> {
    auto listening = TRY(listener());
    return supervisor_at(std::move(listening));
  }();
  if (!socket) return std::move(socket).error();
  auto parts = received_parts(socket->ref());
  if (!parts) {
    (void)send_packet(socket->ref(), bytes_of(parts.error()));
    return std::move(parts).error();
  }
  if (auto taken = send_when_it_takes(socket->ref(), kTaken); !taken) return std::move(taken).error();
  socket->close();
  const auto report = std::move(parts->report);
  be_vmm([&parts] { return run_vmm(std::move(*parts)); }, report.ref());
}

namespace detail {

std::string_view version() { return kVersion; }

Result<void> send_parcel(FdRef socket, Parcel parcel) {
  if (parcel.bytes.size() > kMostBytes || parcel.files.size() > kMostFiles) {
    return fail(Errc::invalid, fmt::format("a VM of {} bytes and {} descriptors, at most {} and {} wanted",
                                           parcel.bytes.size(), parcel.files.size(), kMostBytes, kMostFiles));
  }
  TRY(send_when_it_takes(socket, fmt::format("{} {}", parcel.bytes.size(), parcel.files.size())));
  std::string_view bytes{parcel.bytes};
  std::span<const Fd> files{parcel.files};
  while (!bytes.empty() || !files.empty()) {
    const auto some = files.first(std::min(files.size(), Packet::kMostFiles));
    std::vector<FdRef> refs;
    for (const auto& file : some) refs.push_back(file.ref());
    // A packet has a byte at least. What is after the last is left out by the reader.
    const auto text = bytes.empty() ? std::string_view{" "} : bytes.substr(0, Packet::kMost);
    TRY(send_when_it_takes(socket, text, refs));
    bytes.remove_prefix(std::min(bytes.size(), text.size()));
    files = files.subspan(some.size());
  }
  return {};
}

Result<Parcel> receive_parcel(FdRef socket) {
  const auto head = TRY(next_packet(socket));
  const auto [size, number] = split_word(head.text);
  const auto bytes = TRY(parse_decimal<std::size_t>(size, kMostBytes));
  const auto files = TRY(parse_decimal<std::size_t>(number, kMostFiles));
  Parcel parcel;
  while (parcel.bytes.size() < bytes || parcel.files.size() < files) {
    auto packet = TRY(next_packet(socket));
    parcel.bytes.append(packet.text, 0, bytes - parcel.bytes.size());
    std::ranges::move(packet.files, std::back_inserter(parcel.files));
  }
  if (parcel.files.size() != files) {
    return fail(Errc::invalid, fmt::format("{} descriptors came, {} wanted", parcel.files.size(), files));
  }
  return parcel;
}

}  // namespace detail

}  // namespace pcivm::cli
