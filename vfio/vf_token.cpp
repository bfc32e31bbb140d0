// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/vf_token.hpp"

#include <fcntl.h>
#include <sys/random.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstdint>

#include <fmt/format.h>

#include "base/replace_file.hpp"
#include "vfio/binding_plan.hpp"
#include "vfio/journal_record.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::size_t kUuidLength{36};
constexpr std::size_t kMostText{64};

bool hyphen_at(std::size_t position) { return position == 8 || position == 13 || position == 18 || position == 23; }

// Version 4 of RFC 9562: all random but for the version and the variant.
Result<std::string> random_uuid() {
  std::array<std::uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return fail_errno(errno, "get random bytes");
  }
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0fU) | 0x40U);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3fU) | 0x80U);
  std::string text;
  for (const auto byte : bytes) {
    if (hyphen_at(text.size())) text += '-';
    text += fmt::format("{:02x}", byte);
  }
  return text;
}

}  // namespace

std::optional<Bdf> token_owner(const SysRoot& root, Bdf function) {
  auto physical = function;
  const auto physfn = root.link_name(directory_of(function) + "/physfn");
  if (!physfn.empty()) {
    const auto parsed = Bdf::parse(physfn);
    if (!parsed) return std::nullopt;
    physical = *parsed;
  } else if (!root.exists(directory_of(function) + "/sriov_numvfs")) {
    return std::nullopt;
  }
  if (!is_vfio_driver(root.link_name(directory_of(physical) + "/driver"))) return std::nullopt;
  return physical;
}

std::string vf_token_file(Bdf physical) { return fmt::format("/run/pcivm/vf-token/{}", physical.to_string()); }

bool has_vf_token(const SysRoot& root, Bdf physical) { return root.exists(vf_token_file(physical)); }

bool is_uuid(std::string_view text) {
  if (text.size() != kUuidLength) return false;
  for (std::size_t position = 0; position < text.size(); ++position) {
    const auto character = static_cast<unsigned char>(text[position]);
    if (hyphen_at(position) ? character != '-' : std::isxdigit(character) == 0) return false;
  }
  return true;
}

Result<void> ensure_vf_token(const SysRoot& root, Bdf physical) {
  const auto now = load_vf_token(root, physical);
  if (now) return {};
  if (now.error().kind() != Errc::not_found) return fail(now.error());
  const auto token = TRY(random_uuid());
  return replace_file(root, vf_token_file(physical), token + "\n", 0600, 0700);
}

Result<std::string> load_vf_token(const SysRoot& root, Bdf physical) {
  const auto path = vf_token_file(physical);
  const auto file = TRY(root.open_file(path, O_RDONLY | O_NOFOLLOW));
  auto text = TRY_IN(read_to_end(file.ref(), kMostText), fmt::format("read '{}'", path));
  if (text.ends_with('\n')) text.pop_back();
  if (is_uuid(text)) return text;
  return fail(Error::make(Errc::invalid, fmt::format("'{}' does not hold a UUID", path))
                  .coded("vf_token.damaged")
                  .advise(fmt::format("rm {}; then end and start again what has {} open", path, physical.to_string())));
}

Result<void> forget_vf_token(const SysRoot& root, Bdf physical) { return erase(root, vf_token_file(physical)); }

}  // namespace pcivm::vfio
