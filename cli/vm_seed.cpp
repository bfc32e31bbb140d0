// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_seed.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "cli/json.hpp"
#include "cli/option_list.hpp"
#include "cli/vfat_image.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kOption{"--cloud-init"};
constexpr std::size_t kMostData = 1U << 20U;
constexpr std::size_t kLongestName = 32;  // of a user
constexpr std::size_t kLongestHost = 63;

Result<std::optional<std::string>> content_of(const OptionList& list, std::string_view key) {
  const auto path = list.value(key);
  if (!path) return std::nullopt;
  auto file = TRY_IN(open_path(*path, O_RDONLY | O_NONBLOCK | O_NOCTTY), fmt::format("{} {}", kOption, key));
  return TRY_IN(read_to_end(file.ref(), kMostData), fmt::format("{} {} '{}'", kOption, key, *path));
}

Result<void> check_word(std::string_view key, std::string_view word, std::size_t most, std::string_view more) {
  const auto allowed = [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  };
  if (!word.empty() && word.size() <= most && word.front() != '-' && std::ranges::all_of(word, allowed)) return {};
  return fail(Errc::invalid,
              fmt::format("{}: {}={} found, 1 to {} of a-z, 0-9 and '{}' wanted", kOption, key, word, most, more));
}

/// The keys in a file as ssh has them, id_ed25519.pub or authorized_keys.
Result<std::vector<std::string>> keys_in(const std::string& text) {
  std::vector<std::string> keys;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    const auto key = trimmed(line);
    if (key.empty() || key.starts_with('#')) continue;
    const bool plain = std::ranges::all_of(key, [](char c) { return c >= ' ' && c < 0x7f; });
    if (!plain || key.find(' ') == std::string_view::npos || key.starts_with("-----")) {
      return fail(Errc::invalid, fmt::format("{}: ssh-key: a line that is no public key found, 'ssh-ed25519 AAAA...' "
                                             "wanted",
                                             kOption));
    }
    keys.emplace_back(key);
  }
  if (keys.empty()) return fail(Errc::invalid, fmt::format("{}: ssh-key: no key in that file", kOption));
  return keys;
}

// What cloud-init reads is YAML, of which JSON is a part: quoted as such, nothing in a value can become a key.
Result<std::string> made_user_data(const OptionList& list, const std::string& host) {
  Json data{{"hostname", host}};
  if (const auto user = list.value("user")) {
    TRY(check_word("user", *user, kLongestName, "-_"));
    Json entry{{"name", *user}, {"sudo", "ALL=(ALL) NOPASSWD:ALL"}, {"shell", "/bin/bash"}, {"lock_passwd", true}};
    if (const auto keys = TRY(content_of(list, "ssh-key"))) entry["ssh_authorized_keys"] = TRY(keys_in(*keys));
    data["users"] = Json::array({std::move(entry)});
  } else if (const auto keys = TRY(content_of(list, "ssh-key"))) {
    data["ssh_authorized_keys"] = TRY(keys_in(*keys));  // of the image's own user
  }
  return fmt::format("#cloud-config\n{}\n", to_text(data));
}

// Another seed makes another instance, which cloud-init sets up anew.
std::string made_meta_data(const std::string& vm, const std::string& host, std::string_view user_data,
                           std::string_view network) {
  const Json data{{"instance-id", fmt::format("{}-{:016x}", vm, hash_of(network, hash_of(user_data)))},
                  {"local-hostname", host}};
  return to_text(data) + "\n";
}

Result<vmm::DiskConfig> as_disk(const std::vector<std::byte>& image) {
  vmm::DiskConfig disk;
  disk.disk.file = TRY(make_memfd("pcivm-cloud-init", image.size()));
  TRY(pwrite_exact(disk.disk.file.ref(), 0, image));
  disk.disk.geometry.sectors = image.size() / vmm::kSector;
  disk.read_only = true;
  disk.serial = "cloud-init";
  return disk;
}

}  // namespace

Result<vmm::DiskConfig> make_seed(const std::string& vm, const std::string& options) {
  const auto list = TRY(OptionList::parse(
      kOption, options,
      {.valued = {"user-data", "meta-data", "network-config", "user", "ssh-key", "hostname"}, .flags = {}}));
  const auto host = list.value("hostname").value_or(vm);
  TRY(check_word("hostname", host, kLongestHost, "-"));
  auto user_data = TRY(content_of(list, "user-data"));
  if (user_data && (list.value("user") || list.value("ssh-key"))) {
    return fail(Errc::invalid,
                fmt::format("{}: user-data= beside user= or ssh-key= found, one of both wanted", kOption));
  }
  if (!user_data) user_data = TRY(made_user_data(list, host));
  const auto network = TRY(content_of(list, "network-config"));
  auto meta_data = TRY(content_of(list, "meta-data"));
  if (meta_data && list.value("hostname") && list.value("user-data")) {
    return fail(Errc::invalid, fmt::format("{}: hostname= beside both files found, one of them wanted", kOption));
  }
  if (!meta_data) meta_data = made_meta_data(vm, host, *user_data, network.value_or(""));
  VfatFiles files{{"meta-data", std::move(*meta_data)}, {"user-data", std::move(*user_data)}};
  if (network) files.emplace_back("network-config", *network);
  return as_disk(TRY_IN(make_vfat("CIDATA", files), std::string{kOption}));
}

}  // namespace pcivm::cli
