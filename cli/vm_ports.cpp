// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_ports.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/socket.hpp"
#include "cli/http_client.hpp"
#include "cli/option_list.hpp"
#include "vmm/virtio/console_port.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kPort{"--port"};
constexpr std::size_t kLongestName{63};

// It becomes the name of files, in the guest and on the host.
bool is_port_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  });
}

// Only what nobody listens to any more may go.
Result<void> check_place(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};  // bind(2) tells more
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Error::make(Errc::refused, fmt::format("{}: '{}' is there already, and no socket", kPort, path))
                    .coded("vm.port_path")
                    .advise("remove it, or choose another path"));
  }
  if (!cli::connect_to(path)) return {};
  return fail(Error::make(Errc::busy, fmt::format("{}: somebody listens at '{}'", kPort, path))
                  .coded("vm.port_taken")
                  .advise("choose another path"));
}

ino_t inode_of(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

Result<std::vector<PortWish>> parse_ports(const std::vector<std::string>& options) {
  std::vector<PortWish> wishes;
  std::set<std::string> names;
  for (const auto& text : options) {
    const auto list = TRY(OptionList::parse(kPort, text, {.valued = {"name", "socket"}, .flags = {}}));
    PortWish wish{.name = TRY(list.required("name")), .socket = list.value("socket").value_or("")};
    if (!is_port_name(wish.name)) {
      return fail(Errc::invalid, fmt::format("{}: name={} found, 1 to {} of letters, digits, '.', '_' and '-' wanted",
                                             kPort, wish.name.substr(0, 2 * kLongestName), kLongestName));
    }
    if (!names.insert(wish.name).second) {
      return fail(Errc::invalid, fmt::format("{}: name={} is given twice", kPort, wish.name));
    }
    wishes.push_back(std::move(wish));
  }
  if (wishes.size() > vmm::ConsoleConfig::kMostPorts) {
    return fail(Errc::invalid, fmt::format("{}: {} ports found, up to {} wanted", kPort, wishes.size(),
                                           vmm::ConsoleConfig::kMostPorts));
  }
  return wishes;
}

Result<std::unique_ptr<VmPorts>> VmPorts::listen(const SysRoot& root, const std::string& vm,
                                                 const std::vector<PortWish>& wishes) {
  std::unique_ptr<VmPorts> ports{new VmPorts};
  for (const auto& wish : wishes) {
    const auto path =
        wish.socket.empty() ? root.host_path(fmt::format("/run/pcivm/vm/{}/port-{}", vm, wish.name)) : wish.socket;
    TRY(ports->add(wish, path));
  }
  return ports;
}

Result<void> VmPorts::add(const PortWish& wish, const std::string& path) {
  TRY(check_place(path));
  auto port = std::make_unique<Port>();
  port->view = {.name = wish.name, .socket = path};
  port->listener = TRY_IN(listen_at(path), std::string{kPort});
  port->inode = inode_of(path);
  auto [ours, vmms] = TRY(make_packet_sockets());
  port->channel = std::move(ours);
  vmm_ends_.push_back({.name = wish.name, .channel = std::move(vmms)});
  ports_.push_back(std::move(port));
  return {};
}

// What another made of the name meanwhile is not ours to remove.
VmPorts::~VmPorts() {
  for (const auto& port : ports_) {
    const auto& path = port->view.socket;
    if (port->listener && port->inode != 0 && inode_of(path) == port->inode) (void)::unlink(path.c_str());
  }
}

void VmPorts::leave() {
  for (const auto& port : ports_) {
    port->listener.close();
    port->channel.close();
  }
}

Result<void> VmPorts::serve(EventLoop& loop) {
  for (const auto& port : ports_) {
    port->heard =
        TRY(loop.watch(port->channel.ref(), Interest::read, [&loop, raw = port.get()] { on_word(loop, *raw); }));
    TRY(await(loop, *port));
  }
  return {};
}

Result<void> VmPorts::await(EventLoop& loop, Port& port) {
  port.waiting = TRY(loop.watch(port.listener.ref(), Interest::read, [raw = &port] { on_client(*raw); }));
  return {};
}

void VmPorts::on_client(Port& port) {
  const auto client =
      Fd::adopt(::accept4(port.listener.ref().number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    log::warning("port '{}' takes no clients any more: accept: {}", port.view.name, errno_name(errno));
    port.waiting = {};
    return;
  }
  const std::array files{client.ref()};
  if (!send_packet(port.channel.ref(), vmm::kPortClient, files)) return;  // the VMM ends
  port.view.client = true;
  port.waiting = {};
}

// Not trusted: more than one word of this kind changes nothing.
void VmPorts::on_word(EventLoop& loop, Port& port) {
  const auto packet = receive_packet(port.channel.ref());
  if (!packet && packet.error().sys_errno() == EAGAIN) return;
  if (!packet || !*packet) {
    port.waiting = {};
    port.heard = {};
    return;
  }
  if ((**packet).text != vmm::kPortFree || !port.view.client) return;
  port.view.client = false;
  if (auto waiting = await(loop, port); !waiting) log::warning("port '{}': {}", port.view.name, waiting.error().text());
}

std::vector<VmPorts::View> VmPorts::view() const {
  std::vector<View> views;
  for (const auto& port : ports_) views.push_back(port->view);
  return views;
}

}  // namespace pcivm::cli
