// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/plug_message.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error_bytes.hpp"
#include "base/parse.hpp"

namespace pcivm::vmm {

namespace {

constexpr std::array<std::string_view, 3> kRequests{"attach", "ask", "take"};
constexpr std::array<std::string_view, 6> kReports{"placed", "failed", "refused", "detached", "vacated", "pulled"};
constexpr std::string_view kNoToken{"-"};

Error strange(std::string_view text) {
  return Error::make(Errc::invalid, fmt::format("a message '{}' about a device", text.substr(0, 64)));
}

// The words of a line that ends with the text, or at `most` words.
class Words final {
 public:
  explicit Words(std::string_view text) : rest_{text} {}
  std::string_view next() {
    const auto space = std::min(rest_.find(' '), rest_.size());
    const auto word = rest_.substr(0, space);
    rest_.remove_prefix(std::min(space + 1, rest_.size()));
    return word;
  }
  template <class T>
  Result<T> number() {
    return parse_decimal<T>(next());
  }
  Result<bool> flag() { return TRY(parse_decimal<unsigned>(next(), 1U)) == 1; }
  [[nodiscard]] bool done() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

template <class Kind, std::size_t Count>
Result<Kind> kind_of(std::string_view word, const std::array<std::string_view, Count>& names) {
  const auto found = std::ranges::find(names, word);
  if (found == names.end()) return fail(strange(word));
  return static_cast<Kind>(found - names.begin());
}

std::string text_of(const PlugRequest& request) {
  auto text = fmt::format("{} {}", kRequests.at(static_cast<std::size_t>(request.kind)), request.function.to_string());
  if (request.kind != PlugRequest::Kind::attach) return text;
  const auto& group = request.opened.groups.front();
  const auto& device = request.opened.devices.front();
  const auto& opened = request.opened;
  text += fmt::format(" {} {} {} {:d} {:d} {:d} {:d} {:d} {}", request.slot, to_string(opened.backend), group.number,
                      group.firmware_memory, device.reset_forced, static_cast<bool>(opened.iommu),
                      static_cast<bool>(group.fd), static_cast<bool>(device.fd),
                      device.vf_token.empty() ? kNoToken : device.vf_token);
  const auto add = [&text](const iommu::Bar& bar, bool ours) {
    text += fmt::format(" {} {} {:d} {:d} {:d} {:d}", bar.index, bar.size, bar.io, bar.wide, bar.prefetchable, ours);
  };
  for (const auto& bar : device.bars) add(bar, false);
  if (device.msix_bar) add(*device.msix_bar, true);
  return text;
}

Result<void> read_attach(Words& words, std::vector<Fd> files, PlugRequest& request) {
  auto taken = files.begin();
  request.slot = TRY(words.number<unsigned>());
  const auto name = words.next();
  const auto backend = vfio::backend_named(name);
  if (!backend) return fail(strange(name));
  request.opened.backend = *backend;
  vfio::OpenedGroup group{.number = TRY(words.number<std::uint32_t>()), .fd = {}, .reserved = {}};
  group.firmware_memory = TRY(words.flag());
  vfio::OpenedDevice device{.address = request.function, .group = 0, .bars = {}};
  device.reset_forced = TRY(words.flag());
  for (auto* each : {&request.opened.iommu, &group.fd, &device.fd}) {
    if (!TRY(words.flag())) continue;
    if (taken == files.end()) return fail(Errc::invalid, "a descriptor is missing");
    *each = std::move(*taken++);
  }
  if (const auto token = words.next(); token != kNoToken) device.vf_token = token;
  while (!words.done()) {
    const iommu::Bar bar{.index = TRY(words.number<std::uint8_t>()),
                         .address = 0,
                         .size = TRY(words.number<std::uint64_t>()),
                         .io = TRY(words.flag()),
                         .wide = TRY(words.flag()),
                         .prefetchable = TRY(words.flag())};
    if (TRY(words.flag())) {
      device.msix_bar = bar;
    } else {
      device.bars.push_back(bar);
    }
  }
  request.opened.groups.push_back(std::move(group));
  request.opened.devices.push_back(std::move(device));
  return {};
}

}  // namespace

Result<void> send(FdRef socket, const PlugRequest& request) {
  std::vector<FdRef> files;
  const auto add = [&files](const Fd& file) {
    if (file) files.push_back(file.ref());
  };
  add(request.opened.iommu);
  for (const auto& group : request.opened.groups) add(group.fd);
  for (const auto& device : request.opened.devices) add(device.fd);
  return send_packet(socket, text_of(request), files);
}

Result<PlugRequest> read_request(Packet packet) {
  Words words{packet.text};
  PlugRequest request;
  request.kind = TRY(kind_of<PlugRequest::Kind>(words.next(), kRequests));
  request.function = TRY(Bdf::parse(words.next()));
  if (request.kind == PlugRequest::Kind::attach) TRY(read_attach(words, std::move(packet.files), request));
  if (!words.done()) return fail(strange(packet.text));
  return request;
}

Result<void> send(FdRef socket, const PlugReport& report) {
  auto text = fmt::format("{} {} {}", kReports.at(static_cast<std::size_t>(report.kind)), report.function.to_string(),
                          report.slot);
  if (report.error) text += " " + bytes_of(*report.error);
  return send_packet(socket, std::string_view{text}.substr(0, Packet::kMost));
}

Result<PlugReport> read_report(const Packet& packet) {
  Words words{packet.text};
  PlugReport report;
  report.kind = TRY(kind_of<PlugReport::Kind>(words.next(), kReports));
  report.function = TRY(Bdf::parse(words.next()));
  report.slot = TRY(parse_decimal<unsigned>(words.next(), 31U));
  if (!words.done()) report.error = error_of(words.rest());
  return report;
}

}  // namespace pcivm::vmm
